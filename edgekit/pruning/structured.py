"""The pass ``prune`` on channels: find what may go, meet the budget, cut, prove, recover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgekit import counts
from edgekit.passes.base import Context, Outcome, PassError
from edgekit.passes.layer_names import named
from edgekit.pruning import allocation, budget, check, choice, goal, layers, shapes
from edgekit.pruning.allocation import Rules
from edgekit.pruning.merging import check_merging
from edgekit.pruning.removal import output_sizes

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model
    from edgekit.passes.prune import Prune

#: What vector units like where no target says otherwise.
_ROUND_TO = 8


def apply(config: Prune, model: Model, context: Context) -> Outcome:
    """See ``passes.prune.Prune.apply``."""
    rules = Rules(config.scope, _round_to(config, context), config.max_ratio)
    kept_layers = named(model.network, config.exclude, "prune.exclude")
    if config.keep_first:
        kept_layers |= layers.takes_image(model.network, model.input_size)
    found = choice.choose(config, model, context, rules, kept_layers)
    candidates = budget.Candidates(model.network, model.input_size, found.groups, found.scores, rules)
    final, asked = goal.meet(config, model, context, candidates)
    if all(final[group.name] == group.size for group in found.groups):
        raise PassError(
            f"no channel would go: with channels in multiples of {rules.round_to} every layer would stay as it is",
            where="prune",
            remedy="ask for more, or lower 'round_to'",
        )
    current, history = model, []
    for step in range(1, config.steps + 1):
        now = found if step == 1 else choice.again(config, current, context, found)
        candidates = budget.Candidates(current.network, current.input_size, now.groups, now.scores, rules)
        fraction = 1 / (config.steps - step + 1)
        keep = {g.name: allocation.between(g, final[g.name], fraction, rules.round_to) for g in now.groups}
        pruned, what = _cut(candidates, keep)
        current = replace(current, network=pruned)
        if config.recovery is not None:
            from edgekit.training.recovery import recover

            watched = replace(context, progress=_part(context, step, config.steps))
            what["recovery"] = recover(current, model, config.recovery, watched, where="prune.recovery")
        history.append({"step": step, **what})
    edit = {"kind": config.kind, **shapes.difference(model.network, current.network)}
    after = replace(current, edits=(*model.edits, edit))
    old, new = output_sizes(model.network), output_sizes(after.network)
    macs = [history[0]["macs_before"], history[-1]["macs_after"]]
    parameters = [model.parameter_count, after.parameter_count]
    context.progress(1.0, f"{macs[0]} -> {macs[1]} multiply-adds")
    return Outcome(
        after,
        {
            "importance": config.importance,
            "scope": config.scope,
            "seed": config.seed,
            "round_to": rules.round_to,
            "budget": asked,
            "reached": {"macs": macs[1] / macs[0], "parameters": parameters[1] / parameters[0]},
            "macs": macs,
            "parameters": parameters,
            "channels": {name: [size, new[name]] for name, size in old.items() if new[name] != size},
            "excluded": sorted(kept_layers),
            "left": found.left,
            "steps": history,
        },
    )


def _round_to(config: Prune, context: Context) -> int:
    if config.round_to is not None:
        return config.round_to
    return max((target.channels_multiple_of for target in context.targets.values()), default=_ROUND_TO)


def _cut(candidates: budget.Candidates, keep: dict[str, int]) -> tuple[nn.Module, dict[str, Any]]:
    """A pruned copy that is proved to be right, and its figures.

    Raises:
        PassError: it fails, or computes something else than the network with the removed channels unread.
    """
    network, size = candidates.network, candidates.input_size
    pruned, removed = candidates.build(keep), candidates.removed(keep)
    try:
        found, tolerance = check.difference(network, pruned, candidates.groups, removed, size)
        problem = None
        if found > tolerance:
            problem = f"its logits are {found:.1e} from those of the network with the removed channels unread"
    except Exception as error:  # the network is the user's code
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:
        raise PassError(
            f"the pruned network is wrong: {problem}",
            where="prune",
            remedy="name the layers that mix channels in 'exclude'",
        )
    check_merging(network, pruned, size)
    return pruned, {
        "macs_before": counts.macs(network, size),
        "macs_after": counts.macs(pruned, size),
        "parameters_before": counts.parameters(network),
        "parameters_after": counts.parameters(pruned),
        "largest_difference_to_masked": found,
    }


def _part(context: Context, step: int, steps: int) -> Callable[[float, str], None]:
    return lambda fraction, text: context.progress((step - 1 + fraction) / steps, f"step {step}/{steps}, {text}")
