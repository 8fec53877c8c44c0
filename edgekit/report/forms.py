"""Other forms of a record than its checklist, each one file: every sample, or a model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edgekit.errors import InputError
from edgekit.record import Record
from edgekit.report import model_card, samples
from edgekit.store import write_text

Form = Literal["csv", "model-card"]
#: Form -> the file and what writes its text.
_FORMS: dict[Form, tuple[str, Callable[[Record], str]]] = {
    "csv": ("samples.csv", samples.render),
    "model-card": ("README.md", model_card.render),
}


def write_form(record: Record, folder: Path, form: Form) -> Path:
    """Write the record in ``form`` into ``folder``.

    Returns:
        The path written.

    Raises:
        InputError: another README.md is in the way.
        DeviceError: the disk is full or cannot be written.
    """
    name, render = _FORMS[form]
    path = folder / name
    if form == "model-card" and path.exists() and not model_card.is_card(path.read_text("utf-8", errors="replace")):
        raise InputError(
            "is there, and is no model card of edgekit", where=str(path), remedy="choose another folder with --out"
        )
    write_text(path, render(record))
    return path
