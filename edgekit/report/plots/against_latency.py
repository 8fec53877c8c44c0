"""A figure of each artifact against its latency, with the artifacts that no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.record import Artifact, Record
from edgekit.report import figures, results
from edgekit.report.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: One shape for each precision that a runtime may execute.
_SHAPES = {"fp32": "o", "bf16": "D", "fp16": "D", "int8": "s"}
#: Where a label may stand, in points from its marker; the first place that overlaps nothing is taken.
_DISTANCES = (9, 20, 34, 50, 70)
_DIRECTIONS = ((1, 0), (1, 0.8), (1, -0.8), (-1, 0), (-1, 0.8), (-1, -0.8), (0, 1), (0, -1))


@dataclass(frozen=True)
class Height:
    """What stands on the vertical axis.

    Attributes:
        label: of the axis.
        values: by artifact.
        intervals: 95 %, where there are any.
        more_is_better: which way the front bends.
        logarithmic: the axis.
    """

    label: str
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    more_is_better: bool
    logarithmic: bool


def draw(record: Record, height: Height) -> Figure | None:
    """The scatter, or none with fewer than two artifacts that have both figures."""
    points = {
        one.name: (float(np.median(found.pooled)) * 1e3, height.values[one.name])
        for one in record.artifacts
        if one.name in height.values and (found := results.latency(record, one.name)) is not None
    }
    if len(points) < 2:
        return None
    figure = style.new_figure(7.5, 5.0)
    axis = figure.subplots()
    sign = -1.0 if height.more_is_better else 1.0
    front = pareto({name: (x, sign * y) for name, (x, y) in points.items() if _usable(record, name)})
    for name, (x, y) in points.items():
        one = results.artifact(record, name)
        if one is None:
            continue
        if name in height.intervals:
            low, high = height.intervals[name]
            axis.plot(
                [x, x], [low, high], color=style.COLOURS.get(one.runtime, style.OTHER), linewidth=0.8, zorder=2
            )
        axis.plot(x, y, **_marker(one, name in front))
    axis.plot(*zip(*(points[name] for name in front), strict=True), color="black", linewidth=0.8, zorder=1)
    axis.set_xscale("log")
    axis.margins(0.18)
    _ticks(axis.xaxis)
    if height.logarithmic:
        axis.set_yscale("log")
        _ticks(axis.yaxis)
    axis.set_xlabel("p50 of one inference, ms (logarithmic)")
    axis.set_ylabel(height.label)
    axis.grid(visible=True, which="both", color="#EEEEEE")
    axis.set_axisbelow(True)
    _legend(axis, [one for one in record.artifacts if one.name in points])
    _labels(figure, axis, points)
    return figure


def _usable(record: Record, name: str) -> bool:
    one = results.artifact(record, name)
    return one is not None and one.status == "accepted"


def pareto(points: dict[str, tuple[float, float]]) -> list[str]:
    """The names for which no other point is at most as large in both coordinates, by the first coordinate."""
    front: list[str] = []
    best = float("inf")
    for name in sorted(points, key=lambda one: points[one]):
        if points[name][1] < best:
            best = points[name][1]
            front.append(name)
    return front


def _marker(one: Artifact, on_front: bool) -> dict[str, Any]:
    colour = style.COLOURS.get(one.runtime, style.OTHER)
    accepted = one.status == "accepted"
    return {
        "marker": _SHAPES.get(one.precision_executed or "", "^") if accepted else "x",
        "color": colour,
        "markerfacecolor": colour if on_front else "white",
        "markeredgewidth": 1.6,
        "markersize": 8,
        "linestyle": "none",
        "zorder": 3,
    }


def _ticks(part: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    part.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    part.set_minor_formatter(NullFormatter())


def _legend(axis: Any, shown: list[Artifact]) -> None:
    """Colours are runtimes, shapes are precisions."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=style.COLOURS.get(name, style.OTHER),
            linewidth=4,
            label=style.label(figures.runtime(name)),
        )
        for name in dict.fromkeys(one.runtime for one in shown)
    ]
    for precision in dict.fromkeys(
        one.precision_executed or "unknown" for one in shown if one.status == "accepted"
    ):
        shape = _SHAPES.get(precision, "^")
        handles.append(
            Line2D([], [], marker=shape, linestyle="none", color="black", markerfacecolor="white", label=precision)
        )
    if any(one.status != "accepted" for one in shown):
        handles.append(Line2D([], [], marker="x", linestyle="none", color="black", label="not accepted"))
    handles.append(
        Line2D([], [], marker="o", color="black", linewidth=0.8, label="Pareto front of accepted artifacts")
    )
    axis.figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)


def _labels(figure: Any, axis: Any, points: dict[str, tuple[float, float]]) -> None:
    """Write each name near its marker where it covers no marker and no other name."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    # Frozen: a label must not move the axes that it was placed on.
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    pixels = figure.dpi / 72
    centres = {name: axis.transData.transform(at) for name, at in points.items()}
    taken = [
        Bbox.from_bounds(x - 6 * pixels, y - 6 * pixels, 12 * pixels, 12 * pixels) for x, y in centres.values()
    ]
    frame = axis.get_window_extent(renderer)
    for name, at in points.items():
        for distance, (across, up) in ((d, one) for d in _DISTANCES for one in _DIRECTIONS):
            text = axis.annotate(
                style.label(name),
                at,
                xytext=(across * distance, up * distance),
                textcoords="offset points",
                ha={1: "left", -1: "right"}.get(across, "center"),
                va="center",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6} if distance > 9 else None,
            )
            text.update_positions(renderer)
            # The words alone: a thin leader may cross what a name may not.
            box = Text.get_window_extent(text, renderer)
            if frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()
        else:
            axis.annotate(style.label(name), at, xytext=(9, 0), textcoords="offset points", va="center", fontsize=8)
