"""The error on corrupted images: the lines of the checklist, and the table with a row for each corruption."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.record import SOURCE, Measurement, Record
from edgekit.report import figures, results
from edgekit.report.analysis import Analysis
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured
from edgekit.report.plain import dig, words

#: What answers the checklist's items, the first that was run.
NOISE = ("gaussian_noise", "rician_noise", "speckle_noise", "low_dose")
RESOLUTION = ("resolution_shift",)
_ERROR, _RISE, _MEAN, _CLEAN = "robust_error", "robust_error_rise", "mean_robust_error", "robust_error/clean"
_NOT_ASKED = "the recipe does not ask for evaluation.robustness"


def names(record: Record) -> list[str]:
    """The corruptions that were run, in order."""
    found = (one.metric.split("/") for one in record.measurements)
    return list(dict.fromkeys(parts[1] for parts in found if parts[0] == _ERROR and len(parts) == 3))


def line(record: Record, compared: Sequence[str], corruptions: Sequence[str]) -> Shown:
    """The error under the first of ``corruptions`` that was run, of the source and of each compared artifact."""
    run = names(record)
    if not run:
        return not_measured(_NOT_ASKED)
    chosen = next((one for one in corruptions if one in run), None)
    if chosen is None:
        return not_measured(f"the run's corruptions are {words(run)}")
    return _arrow(record, compared, f"{_ERROR}/{chosen}", chosen.replace("_", " "))


def overall(record: Record, compared: Sequence[str]) -> Shown:
    """The mean error over all corruptions, and the corruption under which each artifact's error rose most."""
    if not names(record):
        return not_measured(_NOT_ASKED)
    shown = _arrow(record, compared, _MEAN, "mean error")
    if not shown.value:
        return shown
    lines = [shown.value, *(text for name in compared if (text := _worst(record, name)))]
    return Shown("\n".join(lines))


def _arrow(record: Record, compared: Sequence[str], metric: str, what: str) -> Shown:
    before = results.score(record, SOURCE, metric)
    after = [(name, results.score(record, name, metric)) for name in compared]
    if not before.value and not any(shown.value for _, shown in after):
        return not_measured(results.why_not(record, SOURCE, metric))
    of = _condition(record, "severities")
    severities = f", severities {words(of)}" if of else ""
    many = "; ".join(f"{oneline(name)} {oneline(shown.text)}" for name, shown in after) or "no artifact ran"
    return Shown(f"{what} on {_how_many(record)}{severities}: source {oneline(before.text)} → {many}")


def _worst(record: Record, name: str) -> str | None:
    rises = [one for one in record.measurements if one.artifact == name and one.metric.startswith(f"{_RISE}/")]
    known = [one for one in rises if one.samples]
    if not known:
        return None
    one = max(known, key=_value)
    low, high = one.interval or (None, None)
    shown = figures.figure(_value(one), low, high, places=3)
    said = one.metric.partition("/")[2].replace("_", " ")
    return f"{oneline(name)}: largest rise above the source's from clean to corrupted images {shown.text} ({said})"


def _value(one: Measurement) -> float:
    return one.samples[-1] if one.samples else 0.0


def _condition(record: Record, key: str) -> object:
    found = record.value(SOURCE, _MEAN)
    return None if found is None else dig(found.conditions, key)


def _how_many(record: Record) -> str:
    for unit in ("images", "cases"):
        count = _condition(record, unit)
        if count is not None:
            return f"{words(count)} test {unit}"
    return "test images"


def table(record: Record, artifacts: Sequence[str]) -> Analysis | None:
    """Error of each artifact under each corruption; none where the recipe did not ask for it."""
    run = names(record)
    if not run:
        return None
    metrics = {"not corrupted": _CLEAN, **{one.replace("_", " "): f"{_ERROR}/{one}" for one in run}, "mean": _MEAN}
    rows = [(name, [results.score(record, one, metric) for one in artifacts]) for name, metric in metrics.items()]
    found = record.value(SOURCE, _MEAN)
    error = "1 - mean Dice" if found is not None and "Dice" in found.method else "1 - balanced accuracy"
    said = [
        f"Error: {error}, mean over severities {words(_condition(record, 'severities'))}, on {_how_many(record)}, "
        "the same for every artifact; 95 % intervals of the bootstrap in brackets."
    ]
    left_out = _condition(record, "left_out")
    if isinstance(left_out, dict) and left_out:
        said.append("Left out: " + "; ".join(f"{name.replace('_', ' ')}, {why}" for name, why in left_out.items()))
    fewest = _condition(record, "fewest_images_of_a_class")
    if isinstance(fewest, int) and fewest < 10:
        said.append(f"The smallest class has {fewest} of these images: one of them moves the error by a step.")
    return Analysis("Robustness to corruptions", ["corruption", *artifacts], rows, said)
