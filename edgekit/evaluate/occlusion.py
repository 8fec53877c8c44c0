"""Where a classifier looks, for any artifact: how much its answer suffers when a part of the image is covered.

Zeiler and Fergus (2014). It needs answers alone, so it is the same for a network and for an exported file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluate.figures import Floats, log_odds
from edgekit.evaluate.subject import Subject

#: Positions of the cover along each side, and its side as a share of the image's.
STEPS = 7
_PART = 0.25


class Cover(NamedTuple):
    """Where the covers lie in an image of ``height`` and ``width``: their starts and their size."""

    rows: NDArray[np.int64]  # [STEPS]
    columns: NDArray[np.int64]
    size: tuple[int, int]


def cover(height: int, width: int) -> Cover:
    """Squares of a quarter of the sides, each half over the next."""
    size = max(1, round(height * _PART)), max(1, round(width * _PART))
    starts = (np.linspace(0, side - part, STEPS) for side, part in zip((height, width), size, strict=True))
    rows, columns = (one.round().astype(np.int64) for one in starts)
    return Cover(rows, columns, size)


def occlusion_map(subject: Subject, image: NDArray[np.float32], label: int) -> Floats:
    """Fall of the log-odds of a class under each cover, ``[STEPS, STEPS]``.

    Log-odds do not saturate where a probability is nearly 1. The cover has the image's own mean in each channel.

    Args:
        subject: what answers.
        image: normalized, ``[C, H, W]``.
        label: the class.
    """
    places = cover(*image.shape[1:])
    mean = image.mean(axis=(1, 2), keepdims=True)
    covered = np.repeat(image[None], 1 + STEPS**2, axis=0)
    for index, (row, column) in enumerate((r, c) for r in places.rows for c in places.columns):
        covered[1 + index, :, row : row + places.size[0], column : column + places.size[1]] = mean
    odds = log_odds(subject.answers(covered).astype(np.float64), label)
    found: Floats = (odds[0] - odds[1:]).reshape(STEPS, STEPS)
    return found


def spread(values: Floats, height: int, width: int) -> Floats:
    """A map on the pixels ``[height, width]``: for each the mean over the covers that hid it."""
    places = cover(height, width)
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for i, row in enumerate(places.rows):
        for j, column in enumerate(places.columns):
            part = slice(row, row + places.size[0]), slice(column, column + places.size[1])
            total[part] += values[i, j]
            count[part] += 1
    return total / np.maximum(count, 1)
