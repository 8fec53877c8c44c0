"""A latency to reach on one target, found by measuring: what ``prune`` and ``factorize`` take as a budget."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from edgekit.passes.base import Context, PassError
from edgekit.schema import Frozen

if TYPE_CHECKING:
    from edgekit.model import Model


class LatencyBudget(Frozen):
    """A p50 that the model must keep, measured while the pass searches."""

    target: str = Field(min_length=1, description="a target of the recipe that runs here")
    factor: float | None = Field(
        default=None, gt=0, lt=1, description="of the p50 before, measured in turn with it"
    )
    ms: float | None = Field(default=None, gt=0, description="milliseconds")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.factor is None) == (self.ms is None):
            raise ValueError("give exactly one of 'factor' and 'ms'")
        return self

    def said(self) -> str:
        """The budget in words."""
        return f"{self.ms:g} ms" if self.ms is not None else f"{self.factor:g} of the latency before"


def stopwatch(
    budget: LatencyBudget, model: Model, context: Context, where: str
) -> Callable[[Model], tuple[float, float]]:
    """What measures p50 in seconds of ``model`` and of another one, in turn, in the target's float precision.

    Args:
        budget: names the target.
        model: the one before the pass.
        context: targets and trials.
        where: the pass, for the messages of errors.

    Raises:
        PassError: the target is no target of the recipe or takes INT8 only, or nothing can be measured.
    """
    from edgekit.measure.trial import float_precision

    target = context.targets.get(budget.target)
    if target is None:
        near = difflib.get_close_matches(budget.target, context.targets, n=1)
        raise PassError(
            f"'{budget.target}' is no target of the recipe" + (f", did you mean '{near[0]}'?" if near else ""),
            where=f"{where}.latency.target",
            remedy=f"the recipe's targets: {', '.join(context.targets) or 'none'}",
        )
    trial, precision = context.trial, float_precision(target)
    if trial is None or precision is None:
        why = f"'{target.name}' runs INT8 only, and {where} comes before quantization"
        raise PassError(
            why if trial else "nothing can be measured outside of a pipeline",
            where=f"{where}.latency",
            remedy="give 'macs', or another target of the recipe",
        )

    def measure(other: Model) -> tuple[float, float]:
        found = trial({"before": model, "after": other}, target, precision)
        before, after = (float(np.median(np.concatenate(found[name]))) for name in ("before", "after"))
        return before, after

    return measure
