"""Saliency agreement: a line of the checklist, and a table with both kinds of map."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.record import SOURCE, Record
from edgekit.report import figures, results
from edgekit.report.analysis import Analysis
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, does_not_apply, not_measured
from edgekit.report.headline import segments
from edgekit.report.plain import dig

AGREEMENT = "saliency_rank_correlation"
_FIGURES = {
    "rank correlation, occlusion": AGREEMENT,
    "rank correlation, Grad-CAM": f"{AGREEMENT}/grad_cam",
    "pointing game, occlusion": "saliency_pointing_game",
    "pointing game, Grad-CAM": "saliency_pointing_game/grad_cam",
}
_NOT_ASKED = "the recipe does not ask for evaluation.saliency"


def line(record: Record, compared: Sequence[str]) -> Shown:
    """The rank correlation of each compared artifact, and what maps of different images have anyhow."""
    if segments(record):
        return does_not_apply("the map of a segmentation is its answer")
    if not _asked(record):
        return not_measured(_NOT_ASKED)
    lines = []
    for name in compared:
        found = record.value(name, AGREEMENT)
        if found is None:
            continue
        other = dig(found.conditions, "of_other_images")
        floor = f"; of maps of different images {other:.3f}" if isinstance(other, float) else ""
        images = figures.counted(int(dig(found.conditions, "images") or 0), "image")
        shown = results.score(record, name, AGREEMENT).text
        lines.append(f"{oneline(name)}: rank correlation of its maps with the source's {shown} on {images}{floor}")
    if not lines:
        reason = next((why for name in compared if (why := results.why_not(record, name, AGREEMENT))), _NOT_ASKED)
        return not_measured(reason)
    return Shown("\n".join(lines))


def table(record: Record, artifacts: Sequence[str]) -> Analysis | None:
    """Every figure of both kinds of map; none where the recipe did not ask for it."""
    if not _asked(record):
        return None
    # The fused source is the compressed model in PyTorch, the only one beside the source that has gradients.
    names = [*artifacts[:1], *([results.FUSED] if _has_gradients(record) else []), *artifacts[1:]]
    rows = []
    for heading, metric in _FIGURES.items():
        if any(record.of(name, metric) for name in names):
            rows.append((heading, [_cell(record, name, metric) for name in names]))
    said = [
        "Rank correlation: Spearman's, of each map with the source's, mean over images, with its 95 % interval. "
        "Pointing game: the share of maps whose highest point lies on the mask. Occlusion covers parts of the "
        "image and needs answers alone; Grad-CAM needs gradients, which exported files have not."
    ]
    return Analysis("Saliency agreement", ["figure", *names], rows, said)


def _cell(record: Record, name: str, metric: str) -> Shown:
    if metric.startswith(AGREEMENT) and name == SOURCE:
        return does_not_apply("the source is what the others are compared with")
    if metric.endswith("grad_cam") and not record.of(name, metric):
        return does_not_apply("an exported file has no gradients")
    return results.score(record, name, metric)


def _asked(record: Record) -> bool:
    return any(one.metric.startswith("saliency_") for one in record.measurements)


def _has_gradients(record: Record) -> bool:
    return bool(record.of(results.FUSED, f"{AGREEMENT}/grad_cam"))
