"""Harm of INT8 in each layer alone, as bars; layers that were given back to float are marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.record import Record
from edgekit.report import sensitivity
from edgekit.report.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: More bars than this cannot be read.
_MOST = 40
#: A bar of no harm would have no place on a logarithmic axis; it ends here below the smallest.
_BELOW = 0.5
_INT8, _KEPT = style.COLOURS["onnxruntime"], style.COLOURS["openvino"]


def draw(record: Record) -> Figure | None:
    """The layers in the order of their harm, the worst on top; none where no pass analysed them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    found = sensitivity.analysis(record)
    known = [one for one in found.layers if one.harm is not None] if found else []
    if not known:
        return None
    shown = known[:_MOST]
    positive = [one.harm for one in shown if one.harm]
    floor = _BELOW * min(positive, default=1.0)
    figure = style.new_figure(7.2, 1.4 + 0.2 * len(shown))
    axis = figure.subplots()
    places = range(len(shown), 0, -1)
    axis.barh(
        places,
        [max(one.harm or 0.0, floor) - floor for one in shown],
        left=floor,
        height=0.7,
        color=[_KEPT if one.kept_float else _INT8 for one in shown],
        hatch=["///" if one.kept_float else "" for one in shown],
        edgecolor="white",
    )
    axis.set_yticks(list(places), [style.label(one.name) for one in shown], fontsize=8)
    axis.set_xscale("log")
    # Below two decades powers of ten alone would leave the axis bare.
    narrow = max(positive, default=1.0) < 100 * floor
    axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(0.3, len(shown) + 0.7)
    axis.set_xlabel("harm: divergence of the predictions from float, nat (logarithmic)")
    if len(shown) < len(known):
        axis.set_title(f"the {len(shown)} most harmful of {len(known)} layers", fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    _legend(figure, {one.kept_float for one in shown})
    return figure


def _legend(figure: Figure, kinds: set[bool]) -> None:
    from matplotlib.patches import Patch

    handles = []
    if False in kinds:
        handles.append(Patch(facecolor=_INT8, label="runs in INT8"))
    if True in kinds:
        handles.append(Patch(facecolor=_KEPT, hatch="///", edgecolor="white", label="kept in float"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
