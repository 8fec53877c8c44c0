"""Finds how strongly to prune so that a budget is met."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgekit import counts
from edgekit.model import settle
from edgekit.passes.base import PassError
from edgekit.pruning.allocation import Rules, allocate, least, step
from edgekit.pruning.groups import Group
from edgekit.pruning.removal import remove

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Bisection halves the strength so often; the next one would move no channel of a layer of 1000.
_HALVINGS = 10
#: So near to the budget no more channels are given back.
_CLOSE = 0.99
#: Each measurement exports a model and starts processes.
_MEASURED_HALVINGS = 5


@dataclass
class Candidates:
    """Pruned copies of one network, by the units that each group keeps.

    Attributes:
        network: the one to prune; it stays as it is.
        input_size: (C, *spatial).
        groups: what may be cut.
        scores: importance of the units of each group.
        rules: see ``Rules``.
    """

    network: nn.Module
    input_size: tuple[int, ...]
    groups: Sequence[Group]
    scores: Mapping[str, Tensor]
    rules: Rules
    _macs: dict[tuple[int, ...], int] = field(default_factory=dict)

    def at(self, strength: float) -> dict[str, int]:
        """Units to keep, by group."""
        return allocate(self.groups, self.scores, self.rules, strength)

    def build(self, kept: Mapping[str, int]) -> nn.Module:
        """A pruned copy."""
        pruned = copy.deepcopy(self.network)
        remove(pruned, self.groups, self.removed(kept))
        return settle(pruned)

    def removed(self, kept: Mapping[str, int]) -> dict[str, list[int]]:
        """The least important units, so many that ``kept`` are left."""
        return {group.name: least(self.scores[group.name], group.size - kept[group.name]) for group in self.groups}

    def macs(self, kept: Mapping[str, int]) -> int:
        """Multiply-adds of the copy that keeps ``kept``."""
        key = tuple(kept[group.name] for group in self.groups)
        if key not in self._macs:
            self._macs[key] = counts.macs(self.build(kept), self.input_size)
        return self._macs[key]


def meet_macs(candidates: Candidates, most: int) -> dict[str, int]:
    """The units to keep so that at most ``most`` multiply-adds are left, and as many as the rounding allows.

    Raises:
        PassError: even the strongest pruning leaves more.
    """
    low, high = 0.0, 1.0
    kept = candidates.at(high)
    if candidates.macs(kept) > most:
        whole = counts.macs(candidates.network, candidates.input_size)
        raise PassError(
            f"{most / whole:.3f} of the multiply-adds cannot be reached: the strongest pruning allowed keeps "
            f"{candidates.macs(kept) / whole:.3f}",
            where="prune.macs",
            remedy="ask for less, raise 'max_ratio', lower 'round_to', or exclude fewer layers",
        )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        tried = candidates.at(middle)
        if candidates.macs(tried) <= most:
            high, kept = middle, tried
        else:
            low = middle
    return _give_back(candidates, kept, candidates.at(low), most)


def _give_back(candidates: Candidates, kept: dict[str, int], wider: dict[str, int], most: int) -> dict[str, int]:
    """Rounding moves many channels at once: widen groups again while the budget allows it.

    First to where a weaker pruning would leave them, then by single steps, the most important channels first.
    """
    for group in candidates.groups:
        given = {**kept, group.name: max(kept[group.name], wider[group.name])}
        if given != kept and candidates.macs(given) <= most:
            kept = given
    cut = [group for group in candidates.groups if kept[group.name] < group.size]
    while cut and candidates.macs(kept) < _CLOSE * most:
        group = max(cut, key=lambda one: _next_best(candidates, one, kept))
        units = min(group.size, kept[group.name] + step(group, candidates.rules.round_to))
        given = {**kept, group.name: units}
        if candidates.macs(given) <= most:
            kept = given
        if kept[group.name] != units or units == group.size:
            cut.remove(group)
    return kept


def _next_best(candidates: Candidates, group: Group, kept: Mapping[str, int]) -> float:
    """Importance, relative to the group's mean, of the most important unit that would go."""
    scores = candidates.scores[group.name]
    return float(scores.sort(descending=True).values[kept[group.name]] / scores.mean().clamp_min(1e-30))


def meet_latency(
    candidates: Candidates, most: float, measure: Callable[[nn.Module], float], unit: Callable[[float], str]
) -> tuple[dict[str, int], list[dict[str, float]]]:
    """The units to keep so that what ``measure`` says is at most ``most``.

    Args:
        candidates: see there.
        most: the budget, in what ``measure`` returns.
        measure: p50 of a network on the target.
        unit: writes a measured value for a person.

    Returns:
        The units, and what was measured on the way: ``strength``, ``macs`` and ``measured``.

    Raises:
        PassError: even the strongest pruning is slower.
    """
    history: list[dict[str, float]] = []
    seen: dict[tuple[int, ...], float] = {}

    def meets(strength: float) -> bool:
        units = candidates.at(strength)
        key = tuple(units.values())
        if key not in seen:
            seen[key] = measure(candidates.build(units))
            history.append({"strength": strength, "macs": candidates.macs(units), "measured": seen[key]})
        return seen[key] <= most

    low, high = 0.0, 1.0
    if not meets(high):
        raise PassError(
            f"a latency of {unit(most)} cannot be reached: the strongest pruning allowed takes "
            f"{unit(history[0]['measured'])}",
            where="prune.latency",
            remedy="ask for less, raise 'max_ratio', lower 'round_to', or exclude fewer layers",
        )
    for _ in range(_MEASURED_HALVINGS):
        middle = (low + high) / 2
        if meets(middle):
            high = middle
        else:
            low = middle
    return candidates.at(high), history
