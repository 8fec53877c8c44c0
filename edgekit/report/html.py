"""``report.html``: the checklist as one page that needs nothing beside it, for a browser or a phone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from edgekit import templates
from edgekit.record import Record
from edgekit.report import document, escape
from edgekit.report.markdown import TEMPLATES


def render(record: Record, pictures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        record: all that is shown comes from it.
        pictures: title to PNG; they become part of the page.
    """
    made = templates.environment(TEMPLATES, _oneline, autoescape=True)
    images = {title: base64.b64encode(png).decode("ascii") for title, png in pictures.items()}
    return made.get_template("report.html.j2").render(**document.content(record), images=images)


def _oneline(value: Any) -> Any:
    """Control and direction marks could disguise a figure; what the template itself marks as safe stays."""
    return escape.oneline(value) if type(value) is str else value
