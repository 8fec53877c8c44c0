"""What ``edgekit check`` found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where: a key of the record, or a line of a checklist.

    A ``note`` is nothing wrong: it names what a reader would need to make the run again.
    """

    rule: str
    where: str
    text: str
    severity: Literal["error", "note"] = "error"


def annotation(one: Finding, path: Path) -> str:
    """A line that GitHub's workflows show beside the file and line, where there is one.

    Args:
        one: the finding.
        path: what was checked; the file of the finding lies there or beside it.
    """
    kind = "error" if one.severity == "error" else "notice"
    place = re.fullmatch(r"(.+\.(?:md|tex|html))(?::(\d+))?", one.where)
    marks = f"title={one.rule}"
    if place is not None:
        folder = path if path.is_dir() else path.parent
        marks = f"file={_escaped((folder / place[1]).as_posix())},line={place[2] or 1},{marks}"
    return f"::{kind} {marks}::{_escaped(f'{one.where}: {one.rule}: {one.text}', message=True)}"


def _escaped(text: str, message: bool = False) -> str:
    """A message may hold colons and commas, a property may not."""
    marks = "%\r\n" if message else "%\r\n:,"
    return "".join(f"%{ord(c):02X}" if c in marks else c for c in text)
