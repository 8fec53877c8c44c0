"""What each artifact's figures differ from the source's by, with the tests of it, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.evaluate.paired import holm
from edgekit.record import Measurement, Record
from edgekit.report import results
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured
from edgekit.report.plain import dig

#: Where the difference stands in the conditions of a measurement.
_KEY = "less_source"
#: A corrected p-value below this is called a change.
ALPHA = 0.05
_SENSITIVITY = "sensitivity/"


@dataclass(frozen=True)
class Change:
    """One figure of one artifact less that of the source; images are counted for shares over images only.

    Attributes:
        artifact, metric: in the record.
        value: the difference.
        interval: 95 %.
        counts: images, lost and won.
        p: of McNemar's test.
        smallest: the smallest fall that the test finds with 80 % probability; none where no fall would be.
    """

    artifact: str
    metric: str
    value: float
    interval: tuple[float, float] | None
    counts: tuple[int, int, int] | None
    p: float | None
    smallest: float | None


def change(record: Record, artifact: str, metric: str) -> Change | None:
    """The difference; none where the record holds none."""
    row = record.value(artifact, metric)
    return None if row is None else _read(row)


def corrected(changes: Sequence[Change]) -> dict[tuple[str, str], float]:
    """Holm's p-values of one family of tests, by artifact and metric."""
    tested = [one for one in changes if one.p is not None]
    values = holm([one.p for one in tested if one.p is not None])
    return {(one.artifact, one.metric): p for one, p in zip(tested, values, strict=True)}


def family(record: Record, start: str) -> list[Change]:
    """Every difference of a metric that begins with ``start``, of the files that ship."""
    shipped = {one.name for one in results.exported(record)}
    newest = {(row.artifact, row.metric): row for row in record.measurements if row.metric.startswith(start)}
    found = [_read(row) for (name, _), row in newest.items() if name in shipped and row.samples]
    return [one for one in found if one is not None]


def shown(record: Record, names: Sequence[str], why: str) -> Shown:
    """A line for each of the artifacts ``names``, and one on the classes; ``why`` none is there."""
    overall = family(record, "accuracy")
    p = corrected(overall)
    lines = [text for name in names if (text := _of_artifact(record, name, p))]
    if not lines:
        return not_measured(why)
    return Shown("\n".join([*lines, *_of_classes(record)]))


def unseen(one: Change) -> str:
    """What the images could not have shown."""
    images = one.counts[0] if one.counts else 0
    if one.smallest is None:
        return f"{images} images are too few to show any fall"
    return f"a fall of less than {one.smallest * 100:.1f} points would probably not be seen in {images} images"


def _of_artifact(record: Record, name: str, p: dict[tuple[str, str], float]) -> str:
    parts = []
    for metric, heading, points in (
        ("accuracy", "accuracy", True),
        ("mean_dice", "mean Dice", True),
        ("balanced_accuracy", "balanced accuracy", True),
        ("ece", "ECE", False),
        ("nll", "NLL", False),
    ):
        one = change(record, name, metric)
        if one is None:
            continue
        text = f"{heading} {_signed(one.value, points)}"
        if one.interval is not None:
            low, high = (_signed(end, points) for end in one.interval)
            text += f" ({low} to {high})"
        text += " points" if points else ""
        if one.counts is not None and one.p is not None:
            images, lost, won = one.counts
            after = p.get((name, metric), one.p)
            text += (
                f", {lost} lost and {won} won of {images} images, McNemar p {_p(one.p)} "
                f"({_p(after)} after Holm's correction for {max(1, len(p))})"
            )
            if after >= ALPHA:
                text += f", which is no proof of equality: {unseen(one)}"
        parts.append(text)
    return f"{oneline(name)}: {'; '.join(parts)}" if parts else ""


def _of_classes(record: Record) -> list[str]:
    """Which classes' sensitivity changed, among all artifacts and classes."""
    tested = family(record, _SENSITIVITY)
    p = corrected(tested)
    if not p:
        return []
    sure = [one for one in tested if p.get((one.artifact, one.metric), 1.0) < ALPHA]
    about = f"sensitivity of the classes, {len(p)} comparisons with Holm's correction"
    if not sure:
        return [f"{about}: no change is beyond chance; what could have been seen stands beside the rarest classes"]
    named = "; ".join(
        f"{oneline(one.artifact)} {oneline(one.metric.removeprefix(_SENSITIVITY))} "
        f"{_signed(one.value, True)} points (p {_p(p[(one.artifact, one.metric)])})"
        for one in sorted(sure, key=lambda one: one.value)
    )
    return [f"{about}: {named}"]


def _read(row: Measurement) -> Change | None:
    found = dig(row.conditions, _KEY)
    value = dig(found, "value")
    if not isinstance(value, (int, float)):
        return None
    ends = dig(found, "interval")
    counted = all(isinstance(found.get(key), int) for key in ("images", "lost", "won"))
    p, smallest = found.get("mcnemar_p"), found.get("smallest_drop")
    return Change(
        artifact=row.artifact,
        metric=row.metric,
        value=float(value),
        interval=(float(ends[0]), float(ends[1])) if isinstance(ends, (list, tuple)) and len(ends) == 2 else None,
        counts=(found["images"], found["lost"], found["won"]) if counted else None,
        p=float(p) if isinstance(p, (int, float)) and 0.0 <= p <= 1.0 else None,
        smallest=float(smallest) if isinstance(smallest, (int, float)) else None,
    )


def _signed(value: float, points: bool) -> str:
    text = f"{value * 100:+.2f}" if points else f"{value:+.4f}"
    # What rounds to nothing has no sign.
    return text if text.strip("+-0.") else text.lstrip("+-")


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
