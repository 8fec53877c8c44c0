"""Gates on what an artifact's figures may differ from the source's by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.evaluate import differences
from edgekit.evaluate.verdicts import Ruling, gate
from edgekit.record import Gate, Measurement

if TYPE_CHECKING:
    from edgekit.recipe import Gates

_SENSITIVITY = "sensitivity/"


@dataclass(frozen=True)
class Margin:
    """One rule.

    Attributes:
        name: of the gate.
        metric: in the record.
        figure: the metric in words.
        limit: the most that the figure may get worse by.
        rises: whether higher is worse.
        points: whether it is a share, shown in percent and points.
    """

    name: str
    metric: str
    figure: str
    limit: float
    rises: bool = False
    points: bool = True

    def shown(self, value: float) -> str:
        """A figure of this kind."""
        return f"{value:.2%}" if self.points else f"{value:.4f}"

    def amount(self, value: float) -> str:
        """A change of it, without its unit."""
        text = f"{value * 100:.2f}" if self.points else f"{value:.4f}"
        return text if text.strip("-0.") else text.removeprefix("-")

    @property
    def unit(self) -> str:
        """Of ``amount``."""
        return " points" if self.points else ""


def asked(gates: Gates, dense: bool) -> list[Margin]:
    """The margins that the recipe states, but that of the sensitivities."""
    drop = "mean_dice" if dense else "accuracy"
    found = [
        Margin(
            drop.removeprefix("mean_") + "_drop",
            drop,
            drop.replace("mean_dice", "mean Dice"),
            gates.max_dice_drop if dense else gates.max_accuracy_drop,
        )
    ]
    for name, metric, figure, limit, rises in (
        (
            "balanced_accuracy_drop",
            "balanced_accuracy",
            "balanced accuracy",
            gates.max_balanced_accuracy_drop,
            False,
        ),
        ("ece_rise", "ece", "ECE", gates.max_ece_rise, True),
        ("nll_rise", "nll", "NLL", gates.max_nll_rise, True),
    ):
        if limit is not None:
            found.append(Margin(name, metric, figure, limit, rises, points=not rises))
    return found


def check(
    artifact: str,
    own: Iterable[Measurement],
    source: Iterable[Measurement],
    gates: Gates,
    dense: bool,
) -> list[Gate]:
    """One gate a margin, in the order of ``asked``, and ``sensitivity_drop`` where the recipe asks for it.

    A figure that the source has and the artifact has not is a failure; one that neither has is undecided.

    Args:
        artifact: its name in the record.
        own: measurements, of which those of other artifacts are left aside.
        source: the source's.
        gates: the recipe's limits.
        dense: whether the task is segmentation.
    """
    after = {row.metric: row for row in own if row.artifact == artifact}
    before = {row.metric: row for row in source}
    rows = [_gate(artifact, margin, before, after, gates) for margin in asked(gates, dense)]
    if gates.max_sensitivity_drop is not None:
        rows.append(_sensitivities(artifact, gates.max_sensitivity_drop, before, after, gates))
    return rows


def _gate(
    artifact: str,
    margin: Margin,
    before: Mapping[str, Measurement],
    after: Mapping[str, Measurement],
    gates: Gates,
) -> Gate:
    ruling = _ruling(margin, before.get(margin.metric), after.get(margin.metric), gates.decide_by == "interval")
    return gate(artifact, margin.name, margin.limit, ruling, gates)


def _ruling(margin: Margin, before: Measurement | None, after: Measurement | None, strictly: bool) -> Ruling:
    """What the data says of one margin; ``strictly`` asks the far end of the interval to keep it."""
    old, new = _value(before), _value(after)
    if isinstance(old, str):
        return Ruling(None, f"the {margin.figure} of the source was not measured: {old}")
    if isinstance(new, str):
        return Ruling(False, f"the {margin.figure} of the artifact was not measured: {new}")
    # Both carry the rounding of a division; without this, 0.85 - 0.84 would exceed 0.01.
    worse = round(new - old if margin.rises else old - new, 12)
    interval = _interval(after, margin.rises)
    move, aim = ("higher than", "a rise") if margin.rises else ("lower than", "a drop")
    away = f"{margin.amount(worse)}{margin.unit} {move}"
    if worse < 0:
        away = f"{margin.amount(-worse)}{margin.unit} {'below' if margin.rises else 'above'}"
    text = (
        f"{margin.figure} {margin.shown(new)} is {away if worse else 'equal to'} the source's {margin.shown(old)}; "
        f"{aim} of at most {margin.amount(margin.limit)}{margin.unit} is allowed"
    )
    if interval is not None:
        low, high = (margin.amount(end) for end in interval)
        text += f" (95 % interval of {aim}: {low} to {high}{margin.unit})"
    if worse > margin.limit:
        return Ruling(False, text, worse, interval)
    if not strictly:
        return Ruling(True, text, worse, interval)
    if interval is None:
        return Ruling(None, f"{text}; it has no interval, as of fewer than {differences.LEAST_UNITS} patients")
    if round(interval[1], 12) <= margin.limit:
        return Ruling(True, text, worse, interval)
    return Ruling(None, f"{text}; the data does not rule out that it is more", None, interval)


def _sensitivities(
    artifact: str, limit: float, before: Mapping[str, Measurement], after: Mapping[str, Measurement], gates: Gates
) -> Gate:
    """Every class must keep its margin, so none needs a correction for their number (intersection-union test)."""
    metrics = [metric for metric in before if metric.startswith(_SENSITIVITY)]
    rulings = {
        metric: _ruling(
            Margin("", metric, f"sensitivity of '{metric.removeprefix(_SENSITIVITY)}'", limit),
            before[metric],
            after.get(metric),
            True,
        )
        for metric in metrics
    }
    lost = [one for one in rulings.values() if one.passed is False]
    open_ = [one for one in rulings.values() if one.passed is None]
    if lost:
        worst = max(lost, key=lambda one: 1.0 if one.value is None else one.value)
        ruling = Ruling(False, "; ".join(one.text for one in (*lost, *open_)), worst.value, worst.interval)
    elif open_:
        ruling = Ruling(None, "; ".join(one.text for one in open_))
    elif not rulings:
        ruling = Ruling(None, "the sensitivities of the source were not measured")
    else:
        worst = max(rulings.values(), key=lambda one: one.interval[1] if one.interval else 0.0)
        kept = f"every one of {len(rulings)} classes keeps the margin"
        text = f"{kept}; the interval that reaches furthest: {worst.text}"
        ruling = Ruling(True, text, worst.value, worst.interval)
    return gate(artifact, "sensitivity_drop", limit, ruling, gates)


def _value(row: Measurement | None) -> float | str:
    """The figure, or why there is none."""
    if row is None:
        return "no such figure in the record"
    return row.samples[0] if row.samples is not None else str(row.not_measured_reason)


def _interval(row: Measurement | None, rises: bool) -> tuple[float, float] | None:
    """The 95 % interval of what the figure got worse by."""
    change: Mapping[str, Any] = (row.conditions.get(differences.KEY) if row is not None else None) or {}
    ends = change.get("interval")
    if not ends:
        return None
    low, high = ends
    return (low, high) if rises else (-high, -low)
