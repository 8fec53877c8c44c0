"""The CSV of an image index: its rows with their lines, and the columns that a recipe names."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Sequence

from pydantic import Field, model_validator

from edgekit.errors import InputError
from edgekit.schema import Frozen

#: Rows of cells, each with the line on which it ends; the header first.
Table = list[tuple[int, list[str]]]
_FIELD = re.compile(r"\{([^{}]+)\}")


class Columns(Frozen):
    """Which column says what. ``file`` and ``mask`` may be patterns such as ``images/{image_id}.jpg``."""

    file: str = Field(min_length=1)
    label: str | None = Field(
        default=None,
        min_length=1,
        description="class of the image; left out for a segmentation, or any values by which drawn "
        "splits are stratified",
    )
    split: str | None = None
    group: str | None = Field(default=None, description="patient or lesion: never in two splits")
    mask: str | None = Field(default=None, description="the mask's file; a segmentation's truth")

    @model_validator(mode="after")
    def _has_truth(self) -> Columns:
        if self.label is None and self.mask is None:
            raise ValueError("name the column of the 'label', or of the 'mask' for a segmentation")
        return self


def check_columns(columns: Columns, table: Table, csv_name: str) -> None:
    """Every column that ``columns`` names must be in the header of ``table``.

    Raises:
        InputError: one is not, with the nearest that is.
    """
    for key, value in columns.model_dump(exclude_none=True).items():
        for column in (_FIELD.findall(value) or [value]) if key in ("file", "mask") else [value]:
            _check(f"columns.{key}", column, table[0][1], csv_name)


def check_subgroups(names: Sequence[str], table: Table, csv_name: str) -> None:
    """Every column of ``subgroups`` must be in the header of ``table``, and be named once.

    Raises:
        InputError: one is not, with the nearest that is.
    """
    for name in names:
        _check("subgroups", name, table[0][1], csv_name)
        if list(names).count(name) > 1:
            raise InputError(f"'subgroups' names '{name}' twice", where=csv_name, remedy="name it once")


def _check(key: str, column: str, header: list[str], csv_name: str) -> None:
    if column in header:
        return
    near = difflib.get_close_matches(column, header, n=1)
    hint = f", did you mean '{near[0]}'?" if near else ""
    raise InputError(
        f"{key} names the column '{column}', which the table lacks{hint}",
        where=f"{csv_name}:1",
        remedy=f"it has: {', '.join(header)}",
    )


def fill(pattern: str, cells: dict[str, str]) -> str:
    """The cell of a column, or a pattern with its columns filled in."""
    if _FIELD.search(pattern):
        return _FIELD.sub(lambda match: cells[match.group(1)], pattern)
    return cells[pattern]


def read_table(content: bytes, csv_name: str) -> Table:
    """The header and the rows, each with the line on which it ends; empty lines are left out.

    Raises:
        InputError: no UTF-8, no CSV, empty, or a column that is there twice.
    """
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text: {error.reason}", where=csv_name, remedy="save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"not a CSV table: {error}", where=csv_name) from None
    if not rows:
        raise InputError("an empty table", where=csv_name, remedy="the first row names the columns")
    header = rows[0][1]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"the column '{twice}' is there twice", where=f"{csv_name}:1", remedy="rename one")
    return rows
