"""The tables of all analyses, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.record import Record
from edgekit.report import changed_images, confusions, hygiene, out_of_distribution, robustness, saliency
from edgekit.report.analysis import Analysis

_TABLES = (
    changed_images.table,
    confusions.table,
    robustness.table,
    out_of_distribution.table,
    saliency.table,
    hygiene.table,
)


def tables(record: Record, artifacts: Sequence[str]) -> list[Analysis]:
    """Those that the record holds, for the source and the artifacts beside it."""
    return [found for make in _TABLES if (found := make(record, artifacts)) is not None]
