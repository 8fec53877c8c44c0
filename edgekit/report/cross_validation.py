"""The cross-validation of a record: each figure over the folds, as far as the record says."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.record import Record
from edgekit.report.figures import counted
from edgekit.report.plain import dig, words

NAMES = ("mean", "standard deviation", "95 % interval of the mean")


@dataclass(frozen=True)
class Folds:
    """One cross-validation: what was done, and a row of cells for each figure."""

    said: str
    rows: list[tuple[str, list[str]]]


def cross_validation(record: Record) -> Folds | None:
    """That of the last pass that made one; none where no pass did."""
    for stage in reversed(record.stages):
        found = dig(stage.changes, "cross_validation")
        figures = dig(found, "figures")
        if not isinstance(figures, dict):
            continue
        rows = [(words(name), _cells(one)) for name, one in figures.items()]
        folds, seeds = dig(found, "folds"), dig(found, "seeds") or []
        many = counted(folds, "fold") if isinstance(folds, int) else "folds not recorded"
        said = (
            f"{stage.name}: {many}, {counted(len(seeds), 'seed')}, {words(dig(found, 'images'))} training and "
            f"validation images together, in {words(dig(found, 'groups'))} groups; {words(dig(found, 'method'))}"
        )
        return Folds(said, rows)
    return None


def _cells(one: object) -> list[str]:
    mean, std, interval = dig(one, "mean"), dig(one, "std"), dig(one, "interval")
    if not isinstance(mean, (int, float)) or not isinstance(std, (int, float)):
        return ["not recorded"] * len(NAMES)
    low, high = interval if isinstance(interval, list) and len(interval) == 2 else (None, None)
    bounds = f"{low:.3f} to {high:.3f}" if isinstance(low, float) and isinstance(high, float) else "not recorded"
    return [f"{mean:.3f}", f"{std:.3f}", bounds]
