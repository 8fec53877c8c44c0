"""For mkdocs: the references of recipe and target files, made from their schemas when the site is made."""

from __future__ import annotations

from typing import Any, Final

from edgekit import schema_reference

_KINDS: Final[tuple[schema_reference.Kind, ...]] = ("recipe", "target")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the reference in the place of its mark."""
    for kind in _KINDS:
        mark = f"<!-- reference: {kind} -->"
        if mark in markdown:
            markdown = markdown.replace(mark, schema_reference.markdown(kind))
    return markdown
