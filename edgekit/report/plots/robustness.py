"""Error against severity, one panel a corruption, for the source and the recommended artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.record import SOURCE, Record
from edgekit.report import results, robustness
from edgekit.report.categories import safety
from edgekit.report.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4
#: The source and up to five artifacts.
_MOST = 6
_MARKS = ("o", "s", "^", "D", "v", "P")


def draw(record: Record) -> Figure | None:
    """None where no corruption was run."""
    run = robustness.names(record)
    names = [SOURCE, *safety.compared(record)]
    shown = [name for name in names if record.value(name, "robust_error/clean")][:_MOST]
    if not run or not shown:
        return None
    rows = -(-len(run) // _COLUMNS)
    figure = style.new_figure(10.0, 2.1 * rows + 0.5)
    axes = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axis, corruption in zip(axes.flat, run, strict=False):
        for mark, name in zip(_MARKS, shown, strict=False):
            _line(axis, record, name, corruption, mark)
        axis.set_title(corruption.replace("_", " "), fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(run) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("error")
    figure.supxlabel("severity (0: not corrupted)", fontsize=9)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _line(axis: Any, record: Record, name: str, corruption: str, mark: str) -> None:
    points = {0: record.value(name, "robust_error/clean")}
    points |= {severity: record.value(name, f"robust_error/{corruption}/{severity}") for severity in range(1, 6)}
    known = {severity: one.samples[-1] for severity, one in points.items() if one is not None and one.samples}
    one = results.artifact(record, name)
    axis.plot(
        list(known),
        list(known.values()),
        color=style.COLOURS.get(one.runtime if one else "", style.OTHER),
        linestyle="--" if name == SOURCE else "-",
        marker=mark,
        markersize=3,
        linewidth=1.2,
        label=style.label(name),
    )
