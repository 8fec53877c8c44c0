"""Search for the layers to give back to float: the fewest, in order of harm, with which the gates hold.

Greedy, as each step's figures can be shown: the most harmful layer goes back first, then the next, until the gates
hold on validation data. A layer whose return does not help is refused. In the end each layer is tried without
again, the costliest first, since a later one may have made it needless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edgekit.recipe import Gates

#: A return helps when the divergence from float falls by at least this part of what it was.
HELPS = 0.02
#: Not more than this share of the multiply-adds goes back: beyond it, it would be a float network.
MOST = 0.5
#: Not more layers than these are tried.
TRIED = 32

Kept = tuple[str, ...]
Row = Mapping[str, Any]
#: Gate -> the figure of a row that it judges, and 1 where higher is worse. The drop of the sensitivity of that
#: class which lost most is a figure of its own, 0 for the float network.
_FIGURES = {
    "max_balanced_accuracy_drop": ("balanced_accuracy", -1),
    "max_sensitivity_drop": ("sensitivity_drop", 1),
    "max_ece_rise": ("ece", 1),
    "max_nll_rise": ("nll", 1),
}


@dataclass(frozen=True)
class Problem:
    """What is searched in.

    Attributes:
        score: figures on validation data with these layers in float, as ``sensitivity.figures`` gives them.
        accuracy: of the float network on the same images; for segmentation its mean Dice.
        gates: the recipe's limits.
        macs_share: share of the multiply-adds by layer, in the network's order.
        dense: segmentation, whose gates are on Dice.
        base: the float network's figures, for the gates on what else a figure may lose.
    """

    score: Callable[[Kept], Row]
    accuracy: float
    gates: Gates
    macs_share: Mapping[str, float]
    dense: bool = False
    base: Row = field(default_factory=dict)

    @property
    def limits(self) -> dict[str, float]:
        """The gates that are asked for, by name: the least agreement, the largest drop, and the recipe's others."""
        names = ("int8_min_agreement", "max_accuracy_drop")
        if self.dense:
            names = ("int8_min_mask_dice", "max_dice_drop")
        wanted = (*names, *(name for name in _FIGURES if getattr(self.gates, name) is not None))
        return {name: getattr(self.gates, name) for name in wanted}

    def figures(self, kept: Kept) -> dict[str, float | None]:
        """The figures that the gates judge, agreement first, and the divergence."""
        row = self.score(kept)
        names = ("mask_dice", "mean_dice", "kl") if self.dense else ("agreement", "accuracy", "kl")
        others = (_FIGURES[gate][0] for gate in self.limits if gate in _FIGURES)
        return {name: row.get(name) for name in (*names, *others)}

    def holds(self, kept: Kept) -> bool:
        """Whether the gates for INT8 hold on validation data."""
        agreement, figure, _, *others = self.figures(kept).values()
        least, most, *limits = self.limits.values()
        if agreement is None or figure is None:
            return False
        # Rounded as in the gate itself, so that 0.85 - 0.84 does not exceed 0.01.
        if agreement < least or round(self.accuracy - figure, 12) > most:
            return False
        asked = [_FIGURES[gate] for gate in self.limits if gate in _FIGURES]
        for (name, sign), value, limit in zip(asked, others, limits, strict=True):
            before = self.base.get(name)
            # What validation does not define for the float network cannot be asked of any form of it.
            if before is not None and (value is None or round(sign * (value - before), 12) > limit):
                return False
        return True

    def kl(self, kept: Kept) -> float:
        """Divergence from float; infinite where logits are not finite."""
        found = self.score(kept)["kl"]
        return float("inf") if found is None else float(found)

    def macs(self, kept: Kept) -> float:
        """Share of the multiply-adds that run in float."""
        return sum(self.macs_share[name] for name in kept)

    def ordered(self, names: Sequence[str]) -> Kept:
        """``names`` in the network's order."""
        return tuple(name for name in self.macs_share if name in names)


@dataclass
class Found:
    """Layers in the order in which they were given back, what each brought, and those refused with the reason."""

    layers: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)


def search(problem: Problem, order: Sequence[str]) -> Found:
    """Give layers back in ``order`` until the gates hold, or none is left that helps."""
    found = Found()
    for name in order[:TRIED]:
        before = problem.ordered(found.layers)
        if problem.holds(before):
            break
        after = problem.ordered([*found.layers, name])
        if len(after) == len(problem.macs_share):
            break
        if problem.macs(after) > MOST:
            _refuse(found, name, f"more than {MOST:.0%} of the multiply-adds would run in float")
        elif not problem.holds(after) and not problem.kl(after) < problem.kl(before) * (1 - HELPS):
            _refuse(found, name, f"its return lowers the divergence from float by less than {HELPS:.0%}")
        else:
            found.layers.append(name)
            found.steps.append({"layer": name, "macs_share": problem.macs_share[name], **problem.figures(after)})
    if problem.holds(problem.ordered(found.layers)):
        for name in sorted(found.layers, key=lambda one: -problem.macs_share[one]):
            fewer = [one for one in found.layers if one != name]
            if problem.holds(problem.ordered(fewer)):
                found.layers = fewer
                _refuse(found, name, "given back at first; the gates hold without it")
    return found


def orders(table: Mapping[str, Any]) -> dict[str, list[str]]:
    """Two orders of the layers of a sensitivity table: by harm, and by harm for each multiply-add."""
    rows = list(table["layers"])
    harm = np.array([np.inf if row["kl"] is None else row["kl"] for row in rows])
    # A layer without multiply-adds cannot be; the smallest number only keeps the division defined.
    cost = np.array([max(row["macs_share"], 1e-12) for row in rows])
    found = {"by harm": harm, "by harm for each multiply-add": harm / cost}
    return {how: [rows[i]["layer"] for i in np.argsort(-keys, kind="stable")] for how, keys in found.items()}


def _refuse(found: Found, name: str, why: str) -> None:
    found.refused.append({"layer": name, "why": why})
