from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from edgekit.training.schedule import Plateau, Schedule
from edgekit.training.settings import Training


def rates(config: Schedule, *epochs: float) -> list[float]:
    return [config.rate(epoch) for epoch in epochs]


def test_cosine_with_warm_up() -> None:
    config = Schedule(epochs=10, learning_rate=1.0, warmup_epochs=2)
    assert rates(config, 0, 1, 2, 6, 10) == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_constant() -> None:
    assert rates(Schedule(learning_rate=1.0, schedule="constant"), 0, 9.9) == [1.0, 1.0]


def test_steps() -> None:
    listed = Schedule(epochs=10, learning_rate=1.0, schedule="step", step_epochs=(3, 6), step_factor=0.5)
    assert rates(listed, 0, 2.9, 3, 5.9, 6, 9.9) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    every = Schedule(epochs=10, learning_rate=1.0, schedule="step", step_epochs=4, step_factor=0.5)
    assert rates(every, 0, 3.9, 4, 7.9, 8) == [1, 1, 0.5, 0.5, 0.25]


def test_plateau_reduces_as_pytorch_does() -> None:
    figures = [0.5, 0.6, 0.6, 0.59, 0.6, 0.61, 0.6095, 0.6, 0.62, 0.62, 0.62, 0.62, 0.1, 0.1, 0.7, 0.7]
    for patience, min_delta in ((0, 0.0), (2, 0.0), (2, 0.05)):
        parameter = torch.nn.Parameter(torch.zeros(1))
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            torch.optim.SGD([parameter], lr=1.0),
            mode="max",
            factor=0.5,
            patience=patience,
            threshold=min_delta,
            threshold_mode="abs",
            eps=0,
        )
        ours = Plateau(patience, min_delta)
        config = Schedule(learning_rate=1.0, schedule="plateau", plateau_factor=0.5)
        for figure in figures:
            theirs.step(figure)
            ours.observe(figure)
            assert config.rate(1.0, ours.reductions) == theirs.get_last_lr()[0]
        assert ours.reductions > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule": "step"}, "'step_epochs' and 'schedule: step' go together"),
        ({"step_epochs": 3}, "'step_epochs' and 'schedule: step' go together"),
        ({"schedule": "step", "step_epochs": (3, 3)}, "rising list"),
        ({"schedule": "step", "step_epochs": ()}, "rising list"),
        ({"schedule": "step", "step_epochs": 0}, "rising list"),
        ({"schedule": "step", "step_epochs": (2, 10)}, "less than 'epochs'"),
        ({"step_factor": 0.5}, "'step_factor' needs"),
        ({"plateau_patience": 3}, "need 'schedule: plateau'"),
        ({"min_delta": 0.001}, "'min_delta' needs"),
        ({"sampling": "class_balanced"}, "twice.*class_weighting: none"),
        ({"devices": 4, "batch_size": 4}, "at least 2 for each of 4"),
        ({"precision": "16-mixed", "accelerator": "cpu"}, "needs a GPU"),
        ({"accelerator": "mps", "devices": 2}, "has one device"),
        ({"ema": 1.0}, "less than 1"),
    ],
)
def test_senseless_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Training.model_validate(values)


def test_settings_survive_json() -> None:
    config = Training(schedule="step", step_epochs=(3, 6), augment=("shift", "rotation"), ema=0.99)
    assert Training.model_validate_json(config.model_dump_json()) == config
