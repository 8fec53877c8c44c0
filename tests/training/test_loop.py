from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.data.base import SplitName
from edgekit.data.prepared import Prepared
from edgekit.evaluate.classification import evaluate
from edgekit.model import Model, logits
from edgekit.passes.base import Context, PassError
from edgekit.training.loop import fit
from edgekit.training.settings import Training
from tests.networks import SIZE


class Normed(nn.Module):
    """With BatchNorm, whose statistics an average must carry along."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 4, 1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(nn.functional.relu(self.norm(self.stem(x))).mean((2, 3)))
        return found


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model("module", {}, 5, SIZE, None, (), Normed().eval())


def run(model: Model, prepared: Prepared, **values: Any) -> tuple[Model, dict[str, Any]]:
    trained = model.copy()
    settings = Training(**({"epochs": 3, "batch_size": 10, "learning_rate": 0.02} | values))
    return trained, fit(trained, settings, Context(prepared), where="finetune")


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "radam"},
        {"ema": 0.9},
        {"gradient_clipping": 0.1},
        {"sampling": "class_balanced", "class_weighting": "none"},
        {"augment": ("rotation", {"kind": "colour_jitter", "hue": 0.0})},
        {"precision": "bf16-mixed"},
        {"label_smoothing": 0.1},
        {"schedule": "step", "step_epochs": 1},
    ],
)
def test_each_setting_changes_the_training_and_repeats(
    model: Model, prepared: Prepared, values: dict[str, Any]
) -> None:
    plain, one, two = run(model, prepared)[0], run(model, prepared, **values), run(model, prepared, **values)
    states = [list(m.network.state_dict().values()) for m in (plain, one[0], two[0])]
    assert not all(torch.equal(a, b) for a, b in zip(states[0], states[1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(states[1], states[2], strict=True))
    assert all(one.dtype == torch.float32 for one in states[1] if one.is_floating_point())
    assert one[1]["history"] == two[1]["history"]
    assert one[1]["device"] == "cpu"


def test_average_is_what_is_validated_and_kept(model: Model, prepared: Prepared) -> None:
    trained, changes = run(model, prepared, ema=0.9, epochs=40)
    predicted = logits(trained, prepared.inputs("val")).argmax(1)
    assert (predicted == prepared.labels("val")).mean() == changes["best"]["validation_accuracy"]
    assert changes["best"]["validation_loss"] < 0.9, "guessing among five classes gives 1.6"


def test_clipping_bounds_a_step(model: Model, prepared: Prepared) -> None:
    moved = {}
    for most in (0.001, None):
        values = {"optimizer": "sgd", "schedule": "constant", "epochs": 1, "weight_decay": 0}
        trained, _ = run(model, prepared, gradient_clipping=most, learning_rate=1.0, **values)
        pairs = zip(model.network.parameters(), trained.network.parameters(), strict=True)
        moved[most] = float(torch.cat([(a - b).detach().flatten() for a, b in pairs]).norm())
    # Two steps with Nesterov momentum 0.9: at most 1.9 and 2.71 times the gradient.
    assert 0 < moved[0.001] <= 0.001 * 4.61 + 1e-6
    assert moved[None] > 0.01


def test_monitored_auc_is_the_report_s(model: Model, prepared: Prepared) -> None:
    trained, changes = run(model, prepared, monitor="auc", epochs=2)
    values = logits(trained, prepared.inputs("val"))
    rows = evaluate("source", values, prepared.labels("val"), prepared.classes, 100, 0)
    reported = next(row for row in rows if row.metric == "auc").samples
    assert reported is not None
    assert changes["best"]["validation_auc"] == pytest.approx(reported[0], abs=1e-12)
    assert changes["best"]["validation_auc"] == max(one["validation_auc"] for one in changes["history"])


def test_auc_needs_every_class(model: Model, prepared: Prepared) -> None:
    class Lacking:
        classes, preprocessing = prepared.classes, prepared.preprocessing
        pixels, count = prepared.pixels, prepared.count

        def targets(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[np.int64]:
            found = prepared.targets(split, indices)
            return np.where(found == 4, 3, found) if split == "val" else found

    with pytest.raises(PassError, match=r"no validation image of e.*monitor balanced_accuracy"):
        fit(model, Training(monitor="auc"), Context(prepared), where="finetune", images=Lacking())


def test_plateau_and_early_stopping(model: Model, prepared: Prepared) -> None:
    values = {"schedule": "plateau", "plateau_patience": 1, "plateau_factor": 0.5, "learning_rate": 1e-9}
    changes = run(model, prepared, **values, epochs=20, patience=5, min_delta=0.5)[1]
    assert [one["learning_rate"] for one in changes["history"]] == [1e-9, 1e-9, 1e-9, 5e-10, 5e-10, 2.5e-10]
    assert changes["stopped_early"]


def test_extra_trains_and_objectives_see_the_bare_network(model: Model, prepared: Prepared) -> None:
    extra = nn.Linear(5, 5)
    before = copy.deepcopy(extra.state_dict())

    def objective(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, supervised: Any) -> torch.Tensor:
        assert isinstance(network.get_submodule("stem"), nn.Conv2d)
        assert network.training
        found: torch.Tensor = supervised(extra(network(inputs)), labels)
        return found

    fit(model.copy(), Training(epochs=1), Context(prepared), where="distill", objective=objective, extra=extra)
    assert all(not torch.equal(one, before[name]) for name, one in extra.state_dict().items())


def test_any_module_trains(prepared: Prepared) -> None:
    """Such as an exported graph, whose ``train`` does something of its own."""

    class Own(Normed):
        def train(self, mode: bool = True) -> Own:
            self.seen = mode
            for child in self.children():
                child.train(mode)
            return self

    torch.manual_seed(0)
    model = Model("module", {}, 5, SIZE, None, (), Own().eval())
    changes = fit(
        model, Training(epochs=2, ema=0.5), Context(prepared), where="qat", layout=lambda network: network
    )
    assert changes["epochs_run"] == 2


def test_what_this_machine_lacks(model: Model, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(PassError, match=r"finetune.accelerator: this machine cannot train on 1 x 'cuda'"):
            run(model, prepared, accelerator="cuda")
        with pytest.raises(PassError, match="'16-mixed' needs a GPU and this machine has none"):
            run(model, prepared, precision="16-mixed")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(PassError, match=r"2 machines need the environment variables MASTER_PORT, NODE_RANK"):
        run(model, prepared, nodes=2)


def test_square_images_only(model: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match=r"square.*32x64"):
        run(replace(model, input_size=(3, 32, 64)), prepared, augment=("quarter_turn",))
