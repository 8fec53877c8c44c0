from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from edgekit.data.prepared import Prepared
from edgekit.model import Model, logits
from edgekit.passes import Context, Finetune, PassError


def states(model: Model) -> list[torch.Tensor]:
    return list(model.network.state_dict().values())


def test_learns_and_keeps_the_best_epoch(resnet: Model, prepared: Prepared) -> None:
    before = [one.clone() for one in states(resnet)]
    told: list[tuple[float, str]] = []
    config = Finetune(epochs=8, batch_size=8, learning_rate=3e-3, augment=("horizontal_flip", "shift"))
    outcome = config.apply(resnet, Context(prepared, lambda fraction, text: told.append((fraction, text))))
    changes = outcome.changes
    assert changes["best"]["validation_balanced_accuracy"] >= 0.9
    assert changes["best"] == changes["history"][changes["best_epoch"] - 1]
    assert changes["best"] == max(changes["history"], key=config.score)
    predicted = logits(outcome.model, prepared.inputs("val")).argmax(1)
    assert (predicted == prepared.labels("val")).mean() == changes["best"]["validation_accuracy"]
    assert all(torch.equal(a, b) for a, b in zip(before, states(resnet), strict=True)), "the argument was changed"
    assert not outcome.model.network.training
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert told[-1][0] == 1.0
    assert told[-1][1].startswith("epoch 8/8 loss ")


def test_same_seed_same_weights(resnet: Model, prepared: Prepared) -> None:
    config = Finetune(epochs=1, batch_size=16, augment=("vertical_flip", "quarter_turn", "intensity"), seed=3)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    one = config.apply(resnet, Context(prepared)).model
    torch.rand(7)
    two = config.apply(resnet, Context(prepared)).model
    other = Finetune(epochs=1, batch_size=16, seed=4).apply(resnet, Context(prepared)).model
    assert all(torch.equal(a, b) for a, b in zip(states(one), states(two), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states(one), states(other), strict=True))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]


def test_reads_no_test_image(resnet: Model, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    original = Prepared._array

    def spy(self: Prepared, name: str) -> Any:
        read.add(name.split("_")[0])
        return original(self, name)

    monkeypatch.setattr(Prepared, "_array", spy)
    Finetune(epochs=1, batch_size=16).apply(resnet, Context(prepared))
    assert read == {"train", "val"}


def test_frozen_backbone_stays(resnet: Model, prepared: Prepared) -> None:
    outcome = Finetune(epochs=1, freeze="backbone").apply(resnet, Context(prepared))
    after = outcome.model.network.state_dict()
    changed = {name for name, one in resnet.network.state_dict().items() if not torch.equal(one, after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert outcome.changes["trained_parameters"] == sum(after[name].numel() for name in changed)
    assert all(parameter.requires_grad for parameter in outcome.model.network.parameters())


def test_stops_early(resnet: Model, prepared: Prepared) -> None:
    config = Finetune(epochs=50, batch_size=16, learning_rate=1e-12, patience=2, optimizer="sgd")
    changes = config.apply(resnet, Context(prepared)).changes
    assert changes["stopped_early"]
    assert changes["epochs_run"] == changes["best_epoch"] + 2


def test_divergence_is_reported(resnet: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match=r"diverged.*lower 'learning_rate' \(now 10\)"):
        Finetune(epochs=5, learning_rate=10, optimizer="sgd", schedule="constant").apply(
            _with_nan(resnet), Context(prepared)
        )


def _with_nan(model: Model) -> Model:
    copied = model.copy()
    with torch.no_grad():
        copied.network.get_parameter("fc.weight").fill_(float("inf"))
    return copied


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"warmup_epochs": 3, "epochs": 3}, "'warmup_epochs' must be less than 'epochs'"),
        ({"patience": 3, "epochs": 3}, "'patience' must be less than 'epochs'"),
        ({"augment": ("shift", "shift")}, "name each augmentation once"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"epoch": 3}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Finetune.model_validate(values)
