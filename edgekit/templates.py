"""How edgekit's texts are filled in: reports, cards, examples and what a bundle carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(
    folder: Path,
    finalize: Callable[[Any], Any] | None = None,
    autoescape: bool = False,
    delimiters: Mapping[str, Any] | None = None,
) -> Environment:
    """Templates of ``folder``; a name that a template uses and nobody gives is an error.

    Args:
        folder: where they lie.
        finalize: everything that a template prints goes through it, so that no text can escape the escaping.
        autoescape: for HTML.
        delimiters: jinja2's, where its own mean something in the text.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=autoescape,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(delimiters or {}),
    )
