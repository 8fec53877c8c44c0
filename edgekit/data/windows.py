"""The grid of windows that covers an image or a volume, and the cutting of one window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def grid(shape: Sequence[int], size: Sequence[int], overlap: float) -> tuple[tuple[int, ...], ...]:
    """Where windows begin so that every pixel lies in one: evenly spread, the first axis slowest.

    Args:
        shape: sides of the image.
        size: sides of a window.
        overlap: share of a window's side that neighbours have in common, at least.

    Returns:
        The starts of each window; negative along an axis where the image is smaller than the window, which then
        lies about its middle.
    """
    return tuple(itertools.product(*(_starts(*sides, overlap) for sides in zip(shape, size, strict=True))))


def _starts(length: int, window: int, overlap: float) -> list[int]:
    if length <= window:
        return [-((window - length) // 2)]
    # Rounded down, so that neighbours share no less than was asked for; 1e-6 for figures such as 1 - 0.9.
    step = max(int(window * (1 - overlap) + 1e-6), 1)
    count = -(-(length - window) // step) + 1
    return [int(start) for start in np.linspace(0, length - window, count).round()]


def cut(array: NDArray[Any], start: Sequence[int], size: Sequence[int], fill: int | None) -> NDArray[Any]:
    """One window of an array, padded where it reaches beyond.

    Args:
        array: ``[*shape, ...]``.
        start: of the window along the first axes.
        size: its sides.
        fill: the value of padding; none repeats the array's edge, which adds no step that a network could see.

    Returns:
        ``[*size, ...]``, contiguous.
    """
    inside, before_after = [], []
    for begin, side, length in zip(start, size, array.shape, strict=False):
        low, high = max(begin, 0), min(begin + side, length)
        inside.append(slice(low, high))
        before_after.append((low - begin, begin + side - high))
    part = array[tuple(inside)]
    if any(pair != (0, 0) for pair in before_after):
        width = before_after + [(0, 0)] * (array.ndim - len(before_after))
        part = np.pad(part, width, "edge") if fill is None else np.pad(part, width, constant_values=fill)
    return np.ascontiguousarray(part)
