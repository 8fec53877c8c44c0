"""Text from recipes, data and devices, made harmless inside Markdown."""

from __future__ import annotations

import re
import unicodedata

#: Characters that could start markup anywhere in a line; ``_`` only counts at the edge of a word.
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
#: What makes a heading, a rule or a list of text that begins a line or a list's item.
_START = re.compile(r"^(\d{0,9})(#|[-+=.)](?=[\s=-]|$))")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: Marks that turn the direction of the text round them, and could so disguise a figure.
_DIRECTION = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))


class Safe(str):
    """Markdown that edgekit itself wrote; it is not escaped again."""

    __slots__ = ()


def oneline(text: str) -> str:
    """``text`` on one line: every run of white space becomes a space, control characters vanish."""
    flat = " ".join(text.translate(_DIRECTION).split())
    return "".join(c for c in flat if unicodedata.category(c) not in ("Cc", "Cs"))


def markdown(text: object) -> str:
    """``text`` so that Markdown shows it as it is: no markup, no HTML, no table cell, on one line."""
    if isinstance(text, Safe):
        return text
    flat = "".join(_HTML.get(c, c) for c in oneline(str(text)))
    return _START.sub(r"\1\\\2", _MARKUP.sub(lambda match: "\\" + match.group(), flat))
