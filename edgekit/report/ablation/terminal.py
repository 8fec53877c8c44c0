"""The table that 'edgekit compress' ends with for a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.report import headline
from edgekit.report.ablation.rows import rows
from edgekit.report.ablation.runs import Runs
from edgekit.report.escape import oneline
from edgekit.report.figures import MISSING

if TYPE_CHECKING:
    from rich.table import Table

_TIMES = ("p50\nms", "speed\nup")


def table(runs: Runs) -> Table:
    """Means over the seeds, without intervals, which are in ``ablation.md``; for 80 columns and more."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    seeds = len(runs.study.seeds)
    said = f"means of {seeds} seeds" if seeds > 1 else "one run a candidate"
    made = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        pad_edge=False,
        caption=Text(f"{said}; speed-up over the baseline; {MISSING}: not measured; intervals: ablation.md", "dim"),
        caption_justify="left",
    )
    made.add_column("candidate", no_wrap=True, overflow="fold")
    made.add_column("artifact", no_wrap=True, overflow="fold")
    study = (headline.of(runs.runs[0].record) if runs.runs else headline.CLASSIFICATION).study
    # Words stand below one another: 80 columns are enough.
    headings = (*(name.replace(" ", "\n") for name in study.values()), *_TIMES)
    for heading in headings:
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("status", overflow="fold")
    for row in rows(runs):
        shown = [row.scores[metric].short for metric in study]
        speedup = row.speedup.short + ("x" if row.speedup.value and row.speedup.short[:1].isdigit() else "")
        cells = [oneline(row.candidate), oneline(row.artifact), *shown, row.p50.short, speedup, row.status]
        made.add_row(*(Text(cell) for cell in cells), style="" if row.accepted else "red")
    for candidate, seed in runs.missing:
        name = oneline(candidate) + ("" if seed is None else f", seed {seed}")
        made.add_row(Text(name), "none", *[MISSING] * len(headings), "no record", style="red")
    return made
