"""Size on disk against p50, with the artifacts that no other beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.record import Record
from edgekit.report.plots import against_latency
from edgekit.report.plots.against_latency import Height

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(record: Record) -> Figure | None:
    """The scatter, or none with fewer than two artifacts that have both figures."""
    sizes = {one.name: one.size_bytes / 1e6 for one in record.artifacts if one.size_bytes > 0}
    label = "size on disk, MB (logarithmic)"
    return against_latency.draw(record, Height(label, sizes, {}, more_is_better=False, logarithmic=True))
