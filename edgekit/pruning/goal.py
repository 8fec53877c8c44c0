"""Turns the budget of a recipe into the number of units that each group keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgekit import counts
from edgekit.passes.base import Context
from edgekit.passes.latency_budget import stopwatch
from edgekit.pruning import budget, shapes

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model
    from edgekit.passes.prune import Prune


def meet(
    config: Prune, model: Model, context: Context, candidates: budget.Candidates
) -> tuple[dict[str, int], dict[str, Any]]:
    """Units to keep, and the budget as the record tells it."""
    context.progress(0.0, "searching for what meets the budget")
    if config.ratio is not None:
        return candidates.at(config.ratio), {"ratio": config.ratio}
    if config.macs is not None:
        whole = counts.macs(model.network, model.input_size)
        return budget.meet_macs(candidates, int(whole * config.macs)), {"macs": config.macs}
    assert config.latency is not None  # exactly one budget is given
    wanted, time = config.latency, stopwatch(config.latency, model, context, config.kind)

    def measure(network: nn.Module) -> float:
        """p50 relative to the model before, or in milliseconds."""
        edit = {"kind": config.kind, **shapes.difference(model.network, network)}
        before, after = time(replace(model, network=network, edits=(*model.edits, edit)))
        return after / before if wanted.factor is not None else after * 1e3

    if wanted.factor is not None:
        final, tried = budget.meet_latency(
            candidates, wanted.factor, measure, lambda value: f"{value:.2f} of the p50 before"
        )
    else:
        assert wanted.ms is not None
        final, tried = budget.meet_latency(candidates, wanted.ms, measure, lambda value: f"{value:.3f} ms")
    return final, {"latency": wanted.model_dump(), "measured": tried}
