"""Balanced accuracy, or mean Dice, against p50, with the artifacts that no other beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.record import Record
from edgekit.report import headline
from edgekit.report.plots import against_latency
from edgekit.report.plots.against_latency import Height

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(record: Record) -> Figure | None:
    """The scatter, or none with fewer than two artifacts that have both figures."""
    metric = headline.of(record).pictured
    found = {one.name: row for one in record.artifacts if (row := record.value(one.name, metric)) is not None}
    values = {name: row.samples[-1] for name, row in found.items() if row.samples}
    intervals = {name: row.interval for name, row in found.items() if row.interval is not None}
    label = f"{headline.of(record).study.get(metric, metric)} on the test split (bars: 95 % intervals)"
    return against_latency.draw(record, Height(label, values, intervals, more_is_better=True, logarithmic=False))
