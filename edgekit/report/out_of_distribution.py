"""The confidence on images that the model was not made for: a line of the checklist, and a table."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.record import SOURCE, Record
from edgekit.report import results
from edgekit.report.analysis import Analysis
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, does_not_apply, not_measured
from edgekit.report.headline import segments

_AUROC = "ood_auroc"
_KINDS = {"AUROC": _AUROC, "accepted at 95 %": "ood_fpr95", "mean confidence": "ood_confidence"}
_NOT_ASKED = "the recipe does not ask for evaluation.out_of_distribution"


def sets(record: Record) -> list[str]:
    """The sets of images that were tried, in order."""
    found = (one.metric.partition("/") for one in record.measurements)
    return list(dict.fromkeys(name for kind, _, name in found if kind == _AUROC))


def line(record: Record, compared: Sequence[str]) -> Shown:
    """AUROC of the confidence for each set, of the source and of each compared artifact."""
    if segments(record):
        return does_not_apply("the confidence of a whole image is that of a classifier")
    if not sets(record):
        return not_measured(_NOT_ASKED)
    lines = []
    for name in sets(record):
        metric = f"{_AUROC}/{name}"
        before = results.score(record, SOURCE, metric)
        after = [(one, results.score(record, one, metric)) for one in compared]
        if not before.value and not any(shown.value for _, shown in after):
            continue
        many = "; ".join(f"{oneline(one)} {oneline(shown.text)}" for one, shown in after) or "no artifact ran"
        lines.append(f"AUROC of the confidence against {oneline(name)}: source {oneline(before.text)} → {many}")
    if not lines:
        return not_measured(results.why_not(record, SOURCE, f"{_AUROC}/{sets(record)[0]}"))
    return Shown("\n".join(lines))


def table(record: Record, artifacts: Sequence[str]) -> Analysis | None:
    """Every figure of every set; none where the recipe did not ask for it."""
    found = sets(record)
    if not found:
        return None
    rows = [
        (f"{name}: {heading}", [results.score(record, one, f"{metric}/{name}") for one in artifacts])
        for name in found
        for heading, metric in _KINDS.items()
    ]
    said = [
        "AUROC: how well the probability of the predicted class tells the test split from these images; 0.5 is "
        "chance, and below 0.5 they get more confidence than the test split. Accepted at 95 %: the share of them "
        "above the threshold that keeps 95 % of the test split. 95 % intervals in brackets."
    ]
    return Analysis("Images out of distribution", ["set and figure", *artifacts], rows, said)
