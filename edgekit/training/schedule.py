"""The learning rate over the epochs, and when the monitored figure has stopped improving."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit.schema import Frozen

_STEP_FACTOR, _PLATEAU_FACTOR, _PLATEAU_PATIENCE = 0.1, 0.1, 5


class Schedule(Frozen):
    """How the learning rate changes from step to step."""

    epochs: int = Field(default=10, ge=1, le=10_000)
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="highest, after the warm-up")
    schedule: Literal["cosine", "constant", "step", "plateau"] = Field(
        default="cosine",
        description="cosine: falls to 0 at the end; step: times step_factor after step_epochs; "
        "plateau: times plateau_factor when the monitored figure stops improving",
    )
    step_epochs: int | tuple[int, ...] | None = Field(
        default=None, description="step: after every so many epochs, or after each of the epochs in the list"
    )
    step_factor: float = Field(default=_STEP_FACTOR, gt=0, lt=1)
    plateau_factor: float = Field(default=_PLATEAU_FACTOR, gt=0, lt=1)
    plateau_patience: int = Field(
        default=_PLATEAU_PATIENCE, ge=0, description="epochs without a better figure that are let pass"
    )
    warmup_epochs: float = Field(default=0.0, ge=0, description="the learning rate rises linearly from 0")

    @field_validator("step_epochs")
    @classmethod
    def _rising(cls, value: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
        epochs = value if isinstance(value, tuple) else (value,)
        numbers = [one for one in epochs if one is not None]
        if value is not None and (not numbers or min(numbers) < 1 or sorted(set(numbers)) != numbers):
            raise ValueError("give a whole number of epochs from 1, or a rising list of them")
        return value

    @model_validator(mode="after")
    def _acts(self) -> Self:
        """Nothing is set that would do nothing."""
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"'warmup_epochs' must be less than 'epochs' ({self.epochs})")
        if (self.step_epochs is not None) != (self.schedule == "step"):
            raise ValueError("'step_epochs' and 'schedule: step' go together")
        if self.step_epochs is not None:
            last = max(self.step_epochs) if isinstance(self.step_epochs, tuple) else self.step_epochs
            if last >= self.epochs:
                raise ValueError(f"'step_epochs' must be less than 'epochs' ({self.epochs}), or they never act")
        if self.schedule != "step" and self.step_factor != _STEP_FACTOR:
            raise ValueError("'step_factor' needs 'schedule: step'")
        plateau = (self.plateau_factor, self.plateau_patience)
        if self.schedule != "plateau" and plateau != (_PLATEAU_FACTOR, _PLATEAU_PATIENCE):
            raise ValueError("'plateau_factor' and 'plateau_patience' need 'schedule: plateau'")
        return self

    def rate(self, epoch: float, reductions: int = 0) -> float:
        """Learning rate ``epoch`` epochs (a fraction counts) after the start.

        Args:
            epoch: 0 to ``epochs``.
            reductions: how often the figure has stopped improving; counts for ``plateau`` only.
        """
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        if self.schedule == "cosine":
            done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        if self.schedule == "plateau":
            return self.learning_rate * self.plateau_factor**reductions
        if self.step_epochs is None:
            return self.learning_rate
        if isinstance(self.step_epochs, tuple):
            return self.learning_rate * self.step_factor ** sum(epoch >= one for one in self.step_epochs)
        return self.learning_rate * self.step_factor ** int(epoch // self.step_epochs)


class Plateau:
    """Counts how often a figure stopped improving, as PyTorch's ReduceLROnPlateau does in its mode ``max``.

    Args:
        patience: epochs without a better figure that are let pass; the next one is a reduction.
        min_delta: how much more than the best so far is better.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self.reductions = 0
        self._patience, self._min_delta = patience, min_delta
        self._best, self._waited = -math.inf, 0

    def observe(self, figure: float) -> None:
        """Take note of an epoch's figure, of which more is better."""
        if figure > self._best + self._min_delta:
            self._best, self._waited = figure, 0
        else:
            self._waited += 1
        if self._waited > self._patience:
            self.reductions, self._waited = self.reductions + 1, 0
