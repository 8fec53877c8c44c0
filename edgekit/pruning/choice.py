"""What of a network may be cut, and how much each unit of it matters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.passes.base import Context, PassError
from edgekit.pruning import allocation, attention, check
from edgekit.pruning.allocation import Rules
from edgekit.pruning.groups import Group, find
from edgekit.pruning.importance import Scorer, taylor
from edgekit.zoo import classifier

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.model import Model
    from edgekit.passes.prune import Prune


@dataclass(frozen=True)
class Choice:
    """What may be cut now, and how much each unit of it matters."""

    groups: list[Group]
    scores: dict[str, Tensor]
    left: dict[str, str]


def choose(config: Prune, model: Model, context: Context, rules: Rules, kept_layers: frozenset[str]) -> Choice:
    """Every group that may and can be cut."""
    groups, left, scores = _scored(config, model, context)
    usable = []
    for group in groups:
        fixed = kept_layers.intersection(group.givers)
        if fixed:
            left[group.name] = f"its channels are those of '{min(fixed)}', which stays"
        elif allocation.fewest(group, rules) >= group.size:
            left[group.name] = _too_narrow(group, rules.round_to)
        elif group.name not in scores:
            left[group.name] = f"'{config.importance}' says nothing about its channels"
        else:
            usable.append(group)
    left.update(check.unsafe(model.network, usable, model.input_size))
    usable = [group for group in usable if group.name not in left]
    if not usable:
        raise _nothing(left)
    return Choice(usable, scores, left)


def again(config: Prune, current: Model, context: Context, first: Choice) -> Choice:
    """The groups of ``first`` in the network as it is now, with new scores."""
    groups, _, scores = _scored(config, current, context)
    names = {group.name for group in first.groups}
    same = [group for group in groups if group.name in names and group.name in scores]
    if len(same) != len(names):
        gone = min(names.difference(group.name for group in same))
        raise PassError(
            f"after a first part '{gone}' cannot be cut further", where="prune.steps", remedy="set 'steps: 1'"
        )
    return Choice(same, scores, first.left)


def _too_narrow(group: Group, round_to: int) -> str:
    tied = f" that go {group.width} at a time" if group.width > 1 else ""
    return f"its {group.size * group.width} channels{tied} are too few to cut in multiples of {round_to}"


def _nothing(left: dict[str, str]) -> PassError:
    """The error for a network of which nothing can be cut, with the reason that is met most often."""
    counted = Counter(left.values()).most_common(1)
    if not counted:
        problem, remedy = "no layer gives channels that only other layers read", "leave the pass out"
    else:
        reason = counted[0][0]
        name = next(name for name, one in left.items() if one == reason)
        problem, remedy = f"'{name}': {reason}", "leave the pass out, or use 'factorize'"
        if "too few" in reason:
            remedy = "lower 'round_to', or leave the pass out"
        elif "which stays" in reason:
            remedy = "exclude fewer layers, or set 'keep_first: false'"
    return PassError(f"nothing in this network can be pruned; {problem}", where="prune", remedy=remedy)


def _scored(config: Prune, model: Model, context: Context) -> tuple[list[Group], dict[str, str], dict[str, Tensor]]:
    """All groups of ``network``, those that cannot be cut, and the scores of the others."""
    from torch.nn.modules.batchnorm import _BatchNorm

    network = model.network
    if config.importance == "bn_scale" and not any(isinstance(m, _BatchNorm) for m in network.modules()):
        raise PassError(
            "the network has no BatchNorm whose scale could say what matters",
            where="prune.importance",
            remedy="use 'l2' or 'taylor', or prune before folding BatchNorm",
        )
    gradients = taylor(network, context, config.seed) if config.importance == "taylor" else {}
    scorer = Scorer(config.importance, network, gradients, config.seed)
    joint = attention.joint_projections(network)
    inner = attention.inner_layers(network)
    apart = {*(f"{name}.qkv" for name in joint), *classifier.names(network, model.num_classes), *inner}
    groups, left = find(network, model.input_size, frozenset(apart))
    left.update(dict.fromkeys(sorted(inner), "it is inside an attention whose form is not known"))
    for name, module in joint.items():
        made = attention.group(name, module, scorer)
        if made is None:
            left[f"{name}.qkv"] = f"'{config.importance}' says nothing about its head dimensions"
        else:
            groups.append(made)
    scores = {group.name: one for group in groups if (one := scorer.units(group)) is not None}
    return groups, left, scores
