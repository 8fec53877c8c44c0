from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit import model as models
from edgekit.data.base import Preprocessing
from edgekit.data.prepared import Prepared
from edgekit.model import Model, create
from edgekit.passes import Context, PassError, PruneStates
from edgekit.pruning import states
from edgekit.recipe import ModelConfig
from edgekit.training.recovery import Recovery


@pytest.fixture(scope="module")
def lite() -> Model:
    config = ModelConfig(architecture="medmamba_lite")
    return create(config, ("dark", "bright"), Preprocessing(size=(32, 32)), None)[0]


def test_all_scans_shrink_and_the_model_is_saved_whole(lite: Model, prepared: Prepared, tmp_path: Path) -> None:
    had = states.layers(lite.network)
    outcome = PruneStates(states=2, images=4).apply(lite, Context(prepared))
    after = outcome.model
    assert set(states.layers(after.network).values()) == {2}
    assert states.layers(lite.network) == had
    assert after.parameter_count < lite.parameter_count
    assert outcome.changes["states"] == {name: [count, 2] for name, count in had.items()}
    shares = outcome.changes["share_of_energy_kept"]
    assert all(2 / had[name] <= share <= 1 for name, share in shares.items()), "the best states hold most of it"

    after.save(tmp_path)
    again = Model.load(tmp_path)
    inputs = prepared.inputs("val")
    np.testing.assert_array_equal(models.logits(again, inputs), models.logits(after, inputs))


def test_random_is_another_choice_of_the_same_size(lite: Model, prepared: Prepared) -> None:
    ranked = PruneStates(states=2, images=4).apply(lite, Context(prepared)).changes["kept"]
    drawn = PruneStates(states=2, images=4, importance="random", seed=3).apply(lite, Context(prepared)).changes
    assert drawn["kept"] != ranked
    assert drawn["share_of_energy_kept"] is None


def test_excluded_blocks_keep_their_states_and_recovery_trains(lite: Model, prepared: Prepared) -> None:
    had = states.layers(lite.network)
    first = next(iter(had))
    config = PruneStates(states=2, images=4, exclude=(first,), recovery=Recovery(epochs=1, learning_rate=1e-3))
    outcome = config.apply(lite, Context(prepared))
    assert states.layers(outcome.model.network)[first] == had[first]
    assert outcome.changes["recovery"]["epochs_run"] == 1


def test_what_cannot_be_done_is_refused(lite: Model, resnet: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match="no selective scan"):
        PruneStates(states=2).apply(resnet, Context(prepared))
    with pytest.raises(PassError, match=r"no state would go.*states"):
        PruneStates(states=64).apply(lite, Context(prepared))
    with pytest.raises(PassError, match="is no layer of this network"):
        PruneStates(states=2, exclude=("nowhere",)).apply(lite, Context(prepared))
    with pytest.raises(ValidationError):
        PruneStates(states=0)


def test_an_altered_edit_is_refused(lite: Model, prepared: Prepared, tmp_path: Path) -> None:
    outcome = PruneStates(states=2, images=4).apply(lite, Context(prepared))
    edit = dict(outcome.model.edits[-1])
    edit["parameters"] = {"head.nothing": [1]}
    replace(outcome.model, edits=(edit,)).save(tmp_path)
    with pytest.raises(Exception, match="altered"):
        Model.load(tmp_path)
