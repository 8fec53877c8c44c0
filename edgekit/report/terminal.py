"""The table that 'edgekit compress' and 'edgekit report' end with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgekit.record import Record
from edgekit.report import headline, overview, results
from edgekit.report.escape import oneline
from edgekit.report.figures import MISSING

if TYPE_CHECKING:
    from rich.table import Table

#: Stands for the figure that speaks for the task.
_SCORE = "score"
#: Heading and justification of each column; units stand in the heading so that 80 columns are enough.
_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("artifact", "left"),
    ("runtime", "left"),
    ("precision\nexecuted", "left"),
    ("size\nMB", "right"),
    ("p50\nms", "right"),
    ("p90\nms", "right"),
    ("speed\nup", "right"),
    (_SCORE, "right"),
    ("ECE", "right"),
    ("status", "left"),
)


def table(record: Record) -> Table:
    """The main table, for 80 columns and more. Recommended rows are bold and carry a ``*``.

    The speed-up is over the source as trained in PyTorch. What was not measured is ``n.m.``; a percentile that
    the number of runs does not allow is ``n<64``. ``summary_lines`` and the checklist give the reasons.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = overview.rows(record)
    legend = ["speed-up: over the source as trained, in PyTorch"]
    legend += ["*: recommended on its target"] if any(row.recommended for row in shown) else []
    made = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        pad_edge=False,
        caption=Text("; ".join([*legend, f"{MISSING}: not measured"]), style="dim"),
        caption_justify="left",
    )
    for heading, side in _COLUMNS:
        # In a narrow terminal these two give way first; a name or a number that is cut would be of no use.
        gives_way = heading in ("runtime", "status")
        title = headline.of(record).narrow if heading == _SCORE else heading
        made.add_column(title, justify=side, no_wrap=not gives_way, overflow="fold")
    for row in shown:
        cells = (
            oneline(row.name) + ("*" if row.recommended else ""),
            row.runtime,
            row.executed.value or MISSING,
            row.size.short,
            row.p50.short,
            row.p90.short,
            f"{row.speedup.short}x" if row.speedup.value else MISSING,
            row.score.short,
            row.ece.short,
            row.status,
        )
        refused = row.status in ("rejected", "failed", "not exported")
        style = "bold green" if row.recommended else "red" if refused else ""
        # Text, not str: square brackets in a name are no markup.
        made.add_row(*(Text(cell) for cell in cells), style=style)
    return made


def summary_lines(record: Record) -> list[str]:
    """Plain text under the table: warnings, what to use on each target, and why an artifact is not accepted."""
    lines = [f"warning: {oneline(text)}" for text in overview.warnings(record)]
    for one in results.exported(record):
        if one.recommended:
            lines.append(
                f"{oneline(one.target)}: use {oneline(one.name)}" + (f": {one.advice}" if one.advice else "")
            )
    for one in results.exported(record):
        if one.status != "accepted":
            lines.append(f"{oneline(one.name)}: {one.status}: {oneline(one.reason or 'no reason recorded')}")
    return lines
