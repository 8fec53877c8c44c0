"""The settings of a training, which every pass that trains has."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit.schema import Frozen
from edgekit.training.augment import Augmentation


class Training(Frozen):
    """Supervised training on the recipe's training split; the epoch that is best on validation is kept."""

    epochs: int = Field(default=10, ge=1, le=10_000)
    batch_size: int = Field(default=32, ge=2, le=4096)
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="highest, after the warm-up")
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="of weights; none on biases and norms")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="sgd: momentum 0.9, Nesterov")
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="cosine: falls to 0 at the end")
    warmup_epochs: float = Field(default=0.0, ge=0, description="the learning rate rises linearly from 0")
    class_weighting: Literal["balanced", "sqrt_balanced", "none"] = Field(
        default="balanced", description="weight of a class: n / (classes n_class), or its square root, or 1"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augment: tuple[Augmentation, ...] = ()
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many epochs without a better one; none: never"
    )
    monitor: Literal["balanced_accuracy", "accuracy", "loss"] = Field(
        default="balanced_accuracy", description="on validation; decides which epoch is kept. Ties: lower loss"
    )
    freeze: Literal["none", "backbone"] = Field(default="none", description="backbone: only the classifier learns")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the order of images, augmentation and dropout")

    @field_validator("augment")
    @classmethod
    def _once(cls, value: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        if len(set(value)) != len(value):
            raise ValueError("name each augmentation once")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"'warmup_epochs' must be less than 'epochs' ({self.epochs})")
        if self.patience is not None and self.patience >= self.epochs:
            raise ValueError(
                f"'patience' must be less than 'epochs' ({self.epochs}), or it never acts; leave it out"
            )
        return self

    def rate(self, epoch: float) -> float:
        """Learning rate at ``epoch`` epochs (a fraction counts) after the start."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        if self.schedule == "constant":
            return self.learning_rate
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def score(self, epoch: dict[str, Any]) -> tuple[float, float]:
        """What the best epoch has most of."""
        loss = -float(epoch["validation_loss"])
        return (loss, loss) if self.monitor == "loss" else (float(epoch[f"validation_{self.monitor}"]), loss)
