"""The table of all networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.counts import CONVENTION
from edgekit.report.networks import notes
from edgekit.report.networks.known import Count, Known
from edgekit.report.networks.notes import Notes

if TYPE_CHECKING:
    from rich.table import Table

SHORT = {"onnxruntime": "ORT", "openvino": "OpenVINO", "litert": "LiteRT", "coreml": "CoreML"}
#: Under the table.
LEGEND = (
    CONVENTION,
    "paper: the figure that it prints, beside ours for the same classes where no note says otherwise; merged: with "
    "its training branches merged, as it ships; n.c.: not counted.",
    "runtimes: in float32, each export tried at a small input size ('edgekit models NAME' says how).",
    "timm's other networks can be named too: 'edgekit models PART_OF_NAME' or 'edgekit models --all'.",
)
_TASKS = {"classification": "class.", "segmentation": "segm."}
_RIGHT = ("params\nM", "paper\nM", "MACs\nG", "paper\nG")


def table(networks: list[Known]) -> tuple[Table, Notes]:
    """For 100 columns and more, and the footnotes whose marks it holds.

    A network with training branches has a second row, of the network that ships. Beside each count stands the first
    figure of that kind that a paper prints; the others are in the network's own listing.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False)
    made.add_column("network", no_wrap=True, overflow="fold")
    made.add_column("task", no_wrap=True)
    made.add_column("input", no_wrap=True)
    for heading in _RIGHT:
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("runtimes", overflow="fold")
    made.add_column("source", overflow="fold")
    footnotes = Notes()
    for one in networks:
        entry = one.entry
        size = "x".join(map(str, entry.input_size))
        cells = [entry.name, _TASKS[entry.task], size, *_counts(one, one.plain, False, footnotes)]
        made.add_row(*map(Text, [*cells, _runtimes(one, footnotes), entry.source]))
        if one.merged is not None:
            made.add_row(*map(Text, ["  merged", "", "", *_counts(one, one.merged, True, footnotes), "", ""]))
    return made, footnotes


def _counts(network: Known, count: Count | None, fused: bool, footnotes: Notes) -> list[str]:
    if count is None:
        return ["n.c.", "", "n.c.", ""]
    return [
        _short(count.parameters / 1e6),
        _printed(network, ("parameters",), fused, footnotes),
        _short(count.macs.total / 1e9),
        _printed(network, ("layers", "macs"), fused, footnotes),
    ]


def _printed(network: Known, quantities: tuple[str, ...], fused: bool, footnotes: Notes) -> str:
    """The first figure of the kind in the heading's unit, and its mark."""
    for figure, ours in network.figures:
        if figure.quantity in quantities and figure.fused == fused:
            unit = "M" if figure.quantity == "parameters" else "G"
            number = figure.printed[:-1] if figure.printed[-1] == unit else f"{figure.value / 1e9:g}"
            text = notes.of_figure(network, figure, ours)
            return f"{number} {footnotes.mark(text)}" if text else number
    return ""


def _runtimes(network: Known, footnotes: Notes) -> str:
    if not network.runtimes:
        return "not tried"
    failed = [SHORT[name] for name, found in network.runtimes.items() if "failed" in found]
    if not failed:
        return f"all {len(network.runtimes)}"
    return f"not {', '.join(failed)} {footnotes.mark(notes.of_failures(network))}"


def _short(number: float) -> str:
    """Three or four digits."""
    return f"{number:.3f}" if number < 10 else f"{number:.2f}"
