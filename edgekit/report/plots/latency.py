"""Histogram of every timed run, one panel an artifact, each on its own scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.record import Record
from edgekit.report import figures, results
from edgekit.report.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Beyond this ratio of the slowest to the fastest run a panel is logarithmic.
_LOG_FROM = 4.0
_BINS = 60


def draw(record: Record) -> Figure | None:
    """The figure, or none where no latency was measured. Every sample is shown; nothing is clipped.

    Each artifact has its own axis: on a common one the shapes of all would shrink to lines, and the table and
    the scatter compare them already.
    """
    samples = {
        name: np.asarray(found.pooled) * 1e3
        for name in results.names(record)
        if (found := results.latency(record, name)) is not None
    }
    if not samples:
        return None
    columns = min(2, len(samples))
    rows = -(-len(samples) // columns)
    figure = style.new_figure(4.4 * columns, 0.5 + 1.35 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(samples) :]:
        axis.set_visible(False)
    for axis, (name, values) in zip(axes.flat, samples.items(), strict=False):
        one = results.artifact(record, name)
        _panel(axis, values, style.COLOURS.get(one.runtime if one else "", style.OTHER))
        median = figures.number(float(np.median(values)))
        axis.set_title(f"{style.label(name)}: p50 {median} ms, n = {len(values)}", fontsize=9, loc="left")
    figure.supxlabel("latency of one inference, ms (line: p50; ticks below the bars: single runs)", fontsize=9)
    return figure


def _panel(axis: Any, values: NDArray[np.float64], colour: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _LOG_FROM:
        edges = np.geomspace(low, high, _BINS + 1)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("logarithmic", fontsize=8)
    else:
        # Samples that are all equal would give bins of no width.
        pad = 0.5e-3 * max(high, 1e-6) if high == low else 0.0
        edges = np.linspace(low - pad, high + pad, _BINS + 1)
        axis.locator_params(axis="x", nbins=6)
    # Rounding may put the ends a hair inside the samples, and no sample may fall out.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    counts, _ = np.histogram(values, edges)
    tallest = counts.max()
    axis.stairs(counts, edges, fill=True, color=colour)
    # A single slow run among hundreds would be a bar of no height, and it is what p90 is about.
    axis.plot(values, np.full(len(values), -0.12 * tallest), "|", color=colour, markersize=4, markeredgewidth=0.5)
    axis.axvline(float(np.median(values)), color="black", linewidth=0.9)
    axis.set_ylim(-0.22 * tallest, 1.08 * tallest)
    axis.set_yticks([])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.spines[["top", "right", "left"]].set_visible(False)
