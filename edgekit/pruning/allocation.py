"""How many units each group keeps, for a strength of pruning between 0 (all) and 1 (as few as allowed)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgekit.pruning.groups import Group

if TYPE_CHECKING:
    from torch import Tensor

Scope = Literal["local", "global"]


@dataclass(frozen=True)
class Rules:
    """What limits the choice.

    Attributes:
        scope: local: the same share of every group; global: the least important units of all groups together.
        round_to: what the number of channels of every cut group is a multiple of.
        max_ratio: largest share of one group's channels that may go.
    """

    scope: Scope
    round_to: int
    max_ratio: float


def step(group: Group, round_to: int) -> int:
    """Units to remove at a time, so that channels stay a multiple of ``round_to``."""
    return round_to // math.gcd(round_to, group.width)


def fewest(group: Group, rules: Rules) -> int:
    """The fewest units that ``group`` may keep; all of them where it is too narrow to be cut."""
    one = step(group, rules.round_to)
    most = math.ceil(group.size * (1 - rules.max_ratio) / one - 1e-9) * one
    return min(group.size, max(one, most))


def allocate(
    groups: Sequence[Group], scores: Mapping[str, Tensor], rules: Rules, strength: float
) -> dict[str, int]:
    """Units to keep, by the name of the group.

    Args:
        groups: what may be cut.
        scores: importance of the units of each group.
        rules: see ``Rules``.
        strength: share of the channels that should go, before rounding.
    """
    import torch

    if rules.scope == "local":
        wanted = {group.name: group.size * (1 - strength) for group in groups}
    else:
        every = torch.cat([scores[group.name].repeat_interleave(group.width) for group in groups])
        gone = min(len(every), round(len(every) * strength))
        bar = float(every.sort().values[gone - 1]) if gone else -math.inf
        wanted = {group.name: float((scores[group.name] > bar).sum()) for group in groups}
    kept = {}
    for group in groups:
        one = step(group, rules.round_to)
        rounded = math.floor(wanted[group.name] / one + 0.5) * one
        kept[group.name] = min(group.size, max(rounded, fewest(group, rules)))
    return kept


def between(group: Group, final: int, fraction: float, round_to: int) -> int:
    """Units to keep when ``fraction`` of the way from all units to ``final`` is gone."""
    if fraction >= 1 or final == group.size:
        return final
    one = step(group, round_to)
    wanted = group.size - (group.size - final) * fraction
    return min(group.size, max(final, math.floor(wanted / one + 0.5) * one))


def least(scores: Tensor, count: int) -> list[int]:
    """The ``count`` least important units; of equals the first."""
    chosen: list[int] = scores.argsort(stable=True)[:count].tolist()
    return sorted(chosen)
