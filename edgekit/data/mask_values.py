"""From the values in a mask file to the indices of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import IGNORE
from edgekit.errors import InputError

#: The name that 'values' gives to pixels that count nowhere.
IGNORED = "ignore"


def check_values(values: Mapping[int, str], classes: Sequence[str], where: str) -> None:
    """Every name in ``values`` must be a class, or ``ignore``.

    Raises:
        InputError: one is neither.
    """
    stray = [name for name in values.values() if name not in classes and name != IGNORED]
    if stray:
        raise InputError(
            f"'values' maps to '{stray[0]}', which is no class of the recipe",
            where=where,
            remedy=f"classes: {', '.join(classes)}; '{IGNORED}' for pixels that count nowhere",
        )


def to_classes(
    raw: NDArray[Any], values: Mapping[int, str], classes: Sequence[str], where: str
) -> NDArray[np.uint8]:
    """The class of each pixel.

    Args:
        raw: the mask as its file has it.
        values: value in the file -> class, or ``ignore``. Without any, values are the indices of the classes; for
            two classes a mask of 0 and 255 alone is read as 0 and 1.
        classes: the recipe's classes, the background first.
        where: the file for the error.

    Returns:
        ``uint8`` of the shape of ``raw``: 0 to classes - 1, or ``IGNORE``.

    Raises:
        InputError: a value is no integer, or none of the known ones.
    """
    found, pixels = np.unique(raw, return_counts=True)
    known = dict(values) or dict(enumerate(classes))
    if not values and len(classes) == 2 and set(found.tolist()) <= {0, 255}:
        known = {0: classes[0], 255: classes[1]}
    unknown = [(value, count) for value, count in zip(found.tolist(), pixels, strict=True) if value not in known]
    if unknown:
        value, count = unknown[0]
        more = f" and {len(unknown) - 1} more values" if len(unknown) > 1 else ""
        shown = ", ".join(f"{key} {name}" for key, name in sorted(known.items()))
        raise InputError(
            f"the mask holds the value {value:g} ({count} pixels){more}; known: {shown}",
            where=where,
            remedy="map each value to a class in 'values', or name every class in 'task.classes'; a JPEG does not "
            "keep the values of a mask",
        )
    numbers = {name: index for index, name in enumerate(classes)}
    indices = np.array([numbers.get(known[int(value)], IGNORE) for value in found], dtype=np.uint8)
    return indices[np.searchsorted(found, raw)]
