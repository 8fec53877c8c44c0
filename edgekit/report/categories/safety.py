"""What happened to calibration, to the rare classes and to single predictions."""

from __future__ import annotations

import functools
from collections import Counter

from edgekit.record import SOURCE, Predictions, Record
from edgekit.report import (
    changed_images,
    changes,
    classes,
    figures,
    headline,
    hygiene,
    out_of_distribution,
    results,
    robustness,
    saliency,
)
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured
from edgekit.report.items import Item, item, per_artifact

#: A fall of a case's Dice that is counted.
_NOTICED = 0.05
#: Metric -> heading, of the figures of calibration beside ECE and NLL.
_CALIBRATION = {
    "adaptive_ece": "Adaptive ECE (15 bins of equally many images)",
    "classwise_ece": "Classwise ECE",
    "brier": "Brier score (0 to 2)",
    "confidence_wrong": "Confidence on wrong predictions",
}


def items(record: Record) -> list[Item]:
    """Calibration, the change from the source, rare classes, robustness, changed predictions."""
    names = results.names(record)
    return [
        per_artifact("ECE (15 bins) after optimization", names, lambda name: results.score(record, name, "ece")),
        per_artifact("NLL after optimization", names, lambda name: results.score(record, name, "nll")),
        *(
            per_artifact(heading, names, functools.partial(_calibration, record, metric))
            for metric, heading in _CALIBRATION.items()
        ),
        item("Temperature scaling", _temperature(record)),
        item("Change from the source", changes.shown(record, compared(record), _why_unpaired(record))),
        item(f"{headline.of(record).rare.capitalize()} of the rarest classes", rare_classes(record)),
        item("Robustness to noise", robustness.line(record, compared(record), robustness.NOISE)),
        item("Robustness to resolution shift", robustness.line(record, compared(record), robustness.RESOLUTION)),
        item("Robustness to all corruptions", robustness.overall(record, compared(record))),
        item("Confidence out of distribution", out_of_distribution.line(record, compared(record))),
        item("Saliency agreement", saliency.line(record, compared(record))),
        item("Failure modes", _changed(record)),
        item("Changed images", changed_images.worst(record, compared(record), _why_unlisted(record))),
        item("Compression-identified exemplars", changed_images.exemplars(record, compared(record))),
        item("Data hygiene", hygiene.line(record)),
    ]


def compared(record: Record) -> list[str]:
    """The artifacts to set beside the source: the recommended ones, or all that ran where none is recommended."""
    ran = [one.name for one in results.exported(record) if one.status in ("accepted", "rejected")]
    return results.recommended(record) or ran


def rare_classes(record: Record) -> Shown:
    """Sensitivity of each rare class, from the source to each compared artifact, with intervals and positives.

    In segmentation it is Dice.
    """
    rare = classes.rarest(record)
    if not rare:
        return not_measured("the record does not count the images of the classes")
    lines = []
    measured = False
    for one in rare:
        metric = f"{headline.of(record).rare}/{one.name}"
        before = results.score(record, SOURCE, metric)
        after = [(name, results.score(record, name, metric)) for name in compared(record)]
        measured = measured or bool(before.value) or any(shown.value for _, shown in after)
        if not before.value and not any(shown.value for _, shown in after):
            lines.append(f"{oneline(one.name)} ({_positives(record, one)}): {oneline(before.text)}")
            continue
        arrow = "; ".join(f"{oneline(name)} {oneline(shown.text)}" for name, shown in after) or "no artifact ran"
        blind = _unseen(record, metric)
        lines.append(
            f"{oneline(one.name)} ({_positives(record, one)}): source {oneline(before.text)} → {arrow}{blind}"
        )
    if measured:
        return Shown("\n".join(lines))
    return not_measured(results.why_not(record, SOURCE, f"{headline.of(record).rare}/{rare[0].name}"))


def _calibration(record: Record, metric: str, name: str) -> Shown:
    if headline.segments(record) and record.value(name, metric) is None:
        return not_measured("of masks ECE, NLL and Brier score are measured, over all pixels")
    return results.score(record, name, metric)


def _unseen(record: Record, metric: str) -> str:
    """What the images of a class could not have shown, of the compared artifact that they tell least of."""
    found = [one for name in compared(record) if (one := changes.change(record, name, metric)) and one.counts]
    if not found:
        return ""
    return f"; {changes.unseen(max(found, key=lambda one: 2.0 if one.smallest is None else one.smallest))}"


def _temperature(record: Record) -> Shown:
    """What one temperature does to the calibration of each compared artifact."""
    lines = []
    for name in compared(record):
        found = record.value(name, "temperature")
        if found is None or not found.samples:
            continue
        moves = [
            f"{heading} {results.score(record, name, metric).text} → "
            f"{results.score(record, name, f'{metric}_scaled').text}"
            for metric, heading in (("ece", "ECE"), ("nll", "NLL"), ("brier", "Brier score"))
        ]
        lines.append(
            f"{oneline(name)}: {figures.number(found.samples[-1])}, fitted on {found.conditions.get('images')} "
            f"validation images and written into its model.json; on the test split {', '.join(moves)}"
        )
    if lines:
        return Shown("\n".join(lines))
    if headline.segments(record):
        return not_measured("it is fitted for classification only")
    rows = [row for row in record.measurements if row.metric == "temperature" and row.not_measured_reason]
    if rows:
        return not_measured(str(rows[-1].not_measured_reason))
    return not_measured("the recipe does not ask for it ('evaluation.temperature_scaling')")


def _why_unpaired(record: Record) -> str:
    if record.value(SOURCE, headline.of(record).metric) is None:
        return results.why_not(record, SOURCE, headline.of(record).metric)
    return "the record holds no figures that were paired with the source's"


def _why_unlisted(record: Record) -> str:
    if headline.segments(record):
        return "they are listed for classification; the cases whose Dice fell stand above"
    if record.value(SOURCE, "accuracy") is None:
        return results.why_not(record, SOURCE, "accuracy")
    return "the record does not list them"


def _positives(record: Record, one: classes.ClassCount) -> str:
    if one.test is None:
        return "positives not counted"
    what = "pixels" if headline.segments(record) else "positives"
    return f"{one.test} {what} in the test split"


def _changed(record: Record) -> Shown:
    """Images whose predicted class changed.

    They are called just that: compression-identified exemplars need a population of models, not one of each kind.
    """
    if headline.segments(record):
        return _worse_cases(record)
    by_name = {one.artifact: one for one in record.predictions}
    source = by_name.get(SOURCE)
    found = [by_name[name] for name in compared(record) if name in by_name]
    if source is None or not found or not record.labels:
        return not_measured(results.why_not(record, SOURCE, "accuracy"))
    names = [one.name for one in classes.counts(record)]
    return Shown("\n".join(_change(source, one, record.labels, names) for one in found))


def _change(source: Predictions, other: Predictions, labels: tuple[int, ...], names: list[str]) -> str:
    changed = [
        (label, before, after)
        for label, before, after in zip(labels, source.predicted, other.predicted, strict=False)
        if before != after
    ]
    lost = [(label, after) for label, before, after in changed if before == label]
    won = sum(after == label for label, _, after in changed)
    text = (
        f"{oneline(other.artifact)}: changed predictions against the source: {len(changed)} of {len(labels)} "
        f"images ({len(lost)} right to wrong, {won} wrong to right)"
    )
    if not lost:
        return text
    (label, after), count = Counter(lost).most_common(1)[0]
    return f"{text}; most often {_name(names, label)} became {_name(names, after)} ({count})"


def _name(names: list[str], index: int) -> str:
    return oneline(names[index]) if 0 <= index < len(names) else f"class {index}"


def _worse_cases(record: Record) -> Shown:
    """The case of each compared artifact whose Dice fell most below the source's."""
    before = _per_case(record, SOURCE)
    lines = []
    for name in compared(record):
        after = _per_case(record, name)
        falls = {case: before[case] - dice for case, dice in after.items() if case in before}
        if not falls:
            continue
        case = max(falls, key=lambda one: falls[one])
        fell = sum(fall > _NOTICED for fall in falls.values())
        lines.append(
            f"{oneline(name)}: Dice fell by more than {_NOTICED:g} in {fell} of {len(falls)} cases; largest change "
            f"in {oneline(case)}, {figures.number(before[case])} to {figures.number(after[case])}"
        )
    return Shown("\n".join(lines)) if lines else not_measured(results.why_not(record, SOURCE, "mean_dice"))


def _per_case(record: Record, name: str) -> dict[str, float]:
    """The mean Dice of each case, by its name."""
    found = record.value(name, "mean_dice")
    if found is None:
        return {}
    cases, values = (found.conditions.get(key) or () for key in ("case_ids", "per_case"))
    return {str(case): float(dice) for case, dice in zip(cases, values, strict=False) if dice is not None}
