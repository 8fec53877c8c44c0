"""Training that gives back what a pass cost: plain, or with the model before the pass as the teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from edgekit.training.distillation import Distillation
from edgekit.training.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model
    from edgekit.passes.base import Context


class Recovery(Training):
    """The settings of a recovery training."""

    distillation: Distillation | None = Field(
        default=None, description="also learn from the model as it was before the pass"
    )

    @model_validator(mode="after")
    def _reaches(self) -> Self:
        if self.freeze == "backbone" and self.distillation is not None:
            self.distillation.check_reach()
        return self


def recover(
    model: Model,
    before: Model,
    settings: Recovery,
    context: Context,
    *,
    where: str,
    after_step: Callable[[nn.Module], None] = lambda network: None,
) -> dict[str, Any]:
    """Train ``model`` in place, as ``training.loop.fit`` does.

    Args:
        model: the changed model.
        before: the model before the change; the teacher where ``settings.distillation`` is given.
        settings: how.
        context: data, progress, threads.
        where: such as ``prune.recovery``, for the messages of errors.
        after_step: see ``fit``.

    Returns:
        What happened, see ``fit``; ``distillation`` says what is learned from ``before``.

    Raises:
        PassError: see ``fit`` and ``distillation.objective``.
    """
    from edgekit.training import distillation
    from edgekit.training.loop import fit

    if settings.distillation is None:
        return fit(model, settings, context, where=where, after_step=after_step)
    objective, extra = distillation.objective(settings.distillation, before, model, seed=settings.seed)
    changes = fit(model, settings, context, where=where, objective=objective, extra=extra, after_step=after_step)
    return {"distillation": objective.changes(), **changes}
