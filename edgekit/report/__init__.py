"""A record as a checklist with pictures, a page for a browser, and a table on the terminal. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from edgekit.record import Record
from edgekit.report.checklist import Item, Section, rows
from edgekit.report.terminal import summary_lines, table
from edgekit.store import write_text

__all__ = ["Item", "Section", "rows", "summary_lines", "table", "write"]


def write(record: Record, folder: Path) -> list[Path]:
    """Write ``checklist.md``, ``report.html`` and ``pictures/``; a reader sees each file whole or not at all.

    Returns:
        The paths written, the checklist first.

    Raises:
        DeviceError: the disk is full or cannot be written.
    """
    from edgekit.report import html, markdown, plots

    pictures = plots.write(record, folder / "pictures")
    links = {title: path.relative_to(folder).as_posix() for title, path in pictures.items()}
    checklist = folder / "checklist.md"
    write_text(checklist, markdown.render(record, links))
    page = folder / "report.html"
    write_text(page, html.render(record, pictures))
    return [checklist, page, *pictures.values()]
