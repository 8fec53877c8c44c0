"""A record as a checklist with pictures, a table for a paper, a page and a terminal table. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from edgekit.record import Record
from edgekit.report.checklist import Item, Section, rows
from edgekit.report.forms import write_form
from edgekit.report.terminal import summary_lines, table
from edgekit.store import write_text

__all__ = ["Item", "Section", "rows", "summary_lines", "table", "write", "write_form"]


def write(record: Record, folder: Path, redraw: bool = True) -> list[Path]:
    """Write ``checklist.md``, ``checklist.tex``, ``report.html`` and ``pictures/``, each whole or not at all.

    Args:
        record: all that is shown comes from it.
        folder: where they go.
        redraw: make the pictures again; without it those that are there stay.

    Returns:
        The paths written, the checklist first.

    Raises:
        DeviceError: the disk is full or cannot be written.
    """
    from edgekit.report import html, latex, markdown, plots

    pictures = plots.write(record, folder / "pictures") if redraw else plots.there(folder / "pictures")
    links = {title: path.relative_to(folder).as_posix() for title, path in pictures.items()}
    checklist = folder / "checklist.md"
    write_text(checklist, markdown.render(record, links))
    table = folder / "checklist.tex"
    write_text(table, latex.render(record))
    page = folder / "report.html"
    write_text(page, html.render(record, {title: path.read_bytes() for title, path in pictures.items()}))
    return [checklist, table, page, *pictures.values()]
