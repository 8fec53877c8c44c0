"""Subgroups of images by what a table says of them: age, sex, site."""

from __future__ import annotations

import itertools

import numpy as np

from edgekit.errors import InputError

#: A column with more different values than this is no grouping, unless they are numbers, which are put into ranges.
MOST = 12
#: Ranges of a column of numbers, with equally many rows.
_RANGES = 4
MISSING = "not recorded"


def grouped(column: str, cells: list[str], where: str) -> list[str]:
    """The subgroup of each row: its cell, or for many different numbers the range between quartiles of all rows.

    Args:
        column: its name.
        cells: one a row; an empty one is a subgroup of its own.
        where: the table, for an error.

    Raises:
        InputError: more than ``MOST`` different values that are not all numbers.
    """
    known = {cell for cell in cells if cell}
    if len(known) <= MOST:
        return [cell or MISSING for cell in cells]
    try:
        numbers = {cell: float(cell) for cell in known}
    except ValueError:
        numbers = {}
    if not numbers or not np.isfinite(list(numbers.values())).all():
        raise InputError(
            f"'subgroups' names the column '{column}', which has {len(known)} different values",
            where=where,
            remedy=f"name a column with at most {MOST}, or one of numbers, which are put into {_RANGES} ranges",
        )
    values = np.array([numbers[cell] for cell in cells if cell])
    ends = sorted({float(end) for end in np.quantile(values, np.arange(1, _RANGES) / _RANGES)})
    between = [f"above {low:g} to {high:g}" for low, high in itertools.pairwise(ends)]
    names = [f"up to {ends[0]:g}", *between, f"above {ends[-1]:g}"]
    return [names[int(np.searchsorted(ends, numbers[cell]))] if cell else MISSING for cell in cells]
