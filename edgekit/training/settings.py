"""The settings of a training, which every pass that trains has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit.training.augment import Augmentation, kind_of
from edgekit.training.hardware import Hardware
from edgekit.training.schedule import Schedule

if TYPE_CHECKING:
    from edgekit.model import Task


class Training(Hardware, Schedule):
    """Supervised training on the recipe's training split; the epoch that is best on validation is kept."""

    batch_size: int = Field(default=32, ge=2, le=4096, description="images of a step, all devices together")
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="of weights; none on biases and norms")
    optimizer: Literal["adamw", "sgd", "radam"] = Field(
        default="adamw", description="sgd: momentum 0.9, Nesterov; radam: decoupled weight decay"
    )
    gradient_clipping: float | None = Field(
        default=None, gt=0, description="largest norm of a step's gradient, all weights together; none: any"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay a step of the moving average of the weights, such as 0.999; the average is what is "
        "validated and kept. none: the weights themselves",
    )
    loss: Literal["cross_entropy", "cross_entropy_dice"] | None = Field(
        default=None,
        description="see edgekit/training/loss.py; by default with Dice for segmentation, which alone has it",
    )
    sampling: Literal["shuffle", "class_balanced"] = Field(
        default="shuffle",
        description="class_balanced: with replacement, each class equally often; for segmentation windows that "
        "hold the class, the background too",
    )
    class_weighting: Literal["balanced", "sqrt_balanced", "none"] | None = Field(
        default=None,
        description="weight of a class in cross-entropy: n / (classes n_class), or its square root, or 1; n counts "
        "images, or pixels; by default balanced, and none for segmentation",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="in cross-entropy")
    augment: tuple[Augmentation, ...] = Field(
        default=(), description="names, or {kind: rotation, degrees: 10} where the strength is not the usual one"
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many epochs without a better one; none: never"
    )
    min_delta: float = Field(
        default=0.0, ge=0, description="a better epoch counts for 'patience' and 'plateau' from so much better on"
    )
    monitor: Literal["balanced_accuracy", "accuracy", "auc", "mean_dice", "loss"] | None = Field(
        default=None,
        description="on validation; decides which epoch is kept. Ties: lower loss. auc: macro one-vs-rest; "
        "mean_dice: of the foreground classes, over all pixels. By default balanced_accuracy, and mean_dice for "
        "segmentation",
    )
    freeze: Literal["none", "backbone"] = Field(default="none", description="backbone: only the classifier learns")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the order of images, augmentation and dropout")

    @field_validator("augment")
    @classmethod
    def _once(cls, value: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        if len({kind_of(one) for one in value}) != len(value):
            raise ValueError("name each augmentation once")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patience is not None and self.patience >= self.epochs:
            raise ValueError(
                f"'patience' must be less than 'epochs' ({self.epochs}), or it never acts; leave it out"
            )
        if self.min_delta and self.patience is None and self.schedule != "plateau":
            raise ValueError("'min_delta' needs 'patience' or 'schedule: plateau'")
        if self.sampling == "class_balanced" and self.class_weighting != "none":
            raise ValueError(
                "'sampling: class_balanced' and 'class_weighting' would balance the classes twice; "
                "add 'class_weighting: none'"
            )
        if self.batch_size < 2 * self.devices * self.nodes:
            raise ValueError(
                f"'batch_size' counts the images of all devices: give it at least 2 for each of "
                f"{self.devices * self.nodes}"
            )
        return self

    def unfit(self, task: Task) -> str | None:
        """Why these settings do not go with ``task``; none where they do. A pass config cannot see the task."""
        if task == "segmentation":
            return "'monitor: auc' is for classification; use mean_dice" if self.monitor == "auc" else None
        for name, value in (("loss", "cross_entropy_dice"), ("monitor", "mean_dice")):
            if getattr(self, name) == value:
                return f"'{name}: {value}' is for segmentation; leave it out"
        return None

    def for_task(self, task: Task, where: str) -> Self:
        """With the defaults of ``task`` for what was left out.

        Raises:
            PassError: see ``unfit``.
        """
        from edgekit.passes.base import PassError

        problem = self.unfit(task)
        if problem is not None:
            raise PassError(problem, where=where)
        own = _DEFAULTS[task]
        return self.model_copy(update={name: own[name] for name in own if getattr(self, name) is None})

    def score(self, epoch: dict[str, Any]) -> tuple[float, float]:
        """What the best epoch has most of."""
        loss = -float(epoch["validation_loss"])
        monitor = self.monitor or ("mean_dice" if "validation_mean_dice" in epoch else "balanced_accuracy")
        return (loss, loss) if monitor == "loss" else (float(epoch[f"validation_{monitor}"]), loss)


_DEFAULTS: dict[Task, dict[str, str]] = {
    "classification": {"loss": "cross_entropy", "class_weighting": "balanced", "monitor": "balanced_accuracy"},
    "segmentation": {"loss": "cross_entropy_dice", "class_weighting": "none", "monitor": "mean_dice"},
}
