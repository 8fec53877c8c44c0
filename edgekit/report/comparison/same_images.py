"""Runs that were tested on the same images: differences in pairs, with McNemar's test and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluate import differences
from edgekit.evaluate.differences import Difference
from edgekit.evaluate.paired import holm
from edgekit.record import Record
from edgekit.report import classes, headline, results
from edgekit.report.comparison.runs import Run
from edgekit.report.plain import dig

#: Resamples of the bootstrap, and the seed of their draw.
_RESAMPLES, _SEED = 2000, 0


@dataclass(frozen=True)
class Change:
    """A figure of one artifact in two runs: before, after, and their difference with its 95 % interval."""

    figure: str
    before: float
    after: float
    difference: Difference


@dataclass(frozen=True)
class Compared:
    """One row: an artifact that two runs have in common, its change, and the p-value after Holm's correction."""

    other: str
    artifact: str
    change: Change
    corrected: float | None


def why_not_same(base: Record, other: Record) -> str | None:
    """Why two runs cannot be compared image by image; none where they can."""
    images = [dig(one.data, "splits", "test", "image_sha256") for one in (base, other)]
    if None in images:
        return "a record does not say which test images it used"
    if images[0] != images[1]:
        return "the test images are not the same"
    if base.labels != other.labels or dig(base.data, "classes") != dig(other.data, "classes"):
        return "the labels are not the same"
    if headline.segments(base) != headline.segments(other):
        return "the tasks are not the same"
    return None


def compared(runs: Sequence[Run]) -> list[Compared]:
    """The first run against each of the others, artifact by artifact; the correction is over all rows."""
    base, *others = runs
    found = [
        (other.name, name, change)
        for other in others
        if why_not_same(base.record, other.record) is None
        for name in results.names(base.record)
        for change in _changes(base.record, other.record, name)
    ]
    tested = [p for _, _, change in found if (p := change.difference.get("mcnemar_p")) is not None]
    corrected = iter(holm(tested))
    return [
        Compared(other, name, change, next(corrected) if "mcnemar_p" in change.difference else None)
        for other, name, change in found
    ]


def _changes(base: Record, other: Record, name: str) -> list[Change]:
    if headline.segments(base):
        return _masks(base, other, name)
    before, after = (_predicted(one, name) for one in (base, other))
    if before is None or after is None:
        return []
    labels = np.asarray(base.labels)
    known = [one.name for one in classes.counts(base)]
    present = [one for index, one in enumerate(known) if (labels == index).any()]
    metrics = ["accuracy", *(f"sensitivity/{one}" for one in present)]
    metrics += ["balanced_accuracy"] if present == known else []
    changed = differences.of_shares(before, after, labels, known, dict.fromkeys(metrics, Difference()), True)
    rare = [f"sensitivity/{one.name}" for one in classes.rarest(base)]
    wanted = [one for one in ("accuracy", "balanced_accuracy", *rare) if one in changed]
    found = []
    for metric in wanted:
        rows = [one.value(name, metric) for one in (base, other)]
        shown = [row.samples[-1] for row in rows if row is not None and row.samples]
        if len(shown) == len(rows):
            found.append(Change(metric, shown[0], shown[1], changed[metric]))
    return found


def _predicted(record: Record, name: str) -> NDArray[np.int64] | None:
    found = next((one for one in record.predictions if one.artifact == name), None)
    if found is None or not record.labels or len(found.predicted) != len(record.labels):
        return None
    return np.asarray(found.predicted)


def _masks(base: Record, other: Record, name: str) -> list[Change]:
    """The mean Dice of the cases that both runs judged, resampled case by case, in pairs."""
    rows = [one.value(name, "mean_dice") for one in (base, other)]
    if None in rows:
        return []
    cases = [
        dict(zip(dig(row.conditions, "case_ids") or (), dig(row.conditions, "per_case") or (), strict=False))
        for row in rows
        if row is not None
    ]
    both = [case for case, dice in cases[0].items() if dice is not None and cases[1].get(case) is not None]
    if not both:
        return []
    before, after = (np.asarray([one[case] for case in both], np.float64) for one in cases)
    picks = np.random.default_rng(_SEED).integers(0, len(both), (_RESAMPLES, len(both)))
    moved = after - before
    drawn = np.concatenate([[moved.mean()], moved[picks].mean(axis=1)])
    difference = differences.of_draws(drawn, np.zeros_like(drawn))
    return [Change("mean_dice", float(before.mean()), float(after.mean()), difference)]
