"""``checklist.md``: a summary page, then the nine categories, then classes, passes, gates and provenance."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit import templates
from edgekit.record import Record
from edgekit.report import document, escape

TEMPLATES = Path(__file__).resolve().parent / "templates"


def title(record: Record) -> str:
    """The first line of the text."""
    return f"# Deployment checklist: {escape.markdown(record.recipe['name'])}"


def render(record: Record, pictures: dict[str, str]) -> str:
    """The Markdown text.

    Args:
        record: all that is shown comes from it.
        pictures: title to path, relative to the folder of the text.
    """
    made = templates.environment(TEMPLATES, escape.markdown)
    text = made.get_template("checklist.md.j2").render(
        **document.content(record),
        pictures=pictures,
        safe=escape.Safe,
        mark=lambda text, wanted: escape.Safe(text if wanted else ""),
    )
    # Parts that a record lacks leave their blank lines behind.
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"
