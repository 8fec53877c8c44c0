"""Dice and IoU of two label maps, from the counts of their pixels.

Where neither map has a pixel of the class (the structure is absent and was not found), both are 1; where only one
of them has some (a structure invented, or missed), both are 0. MONAI does the same with ``ignore_empty=False``; its
default leaves cases without the structure out, and with them every structure that a model invents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """Number of pixels ``[classes, classes]`` of each true class (row) that got each class (column).

    Args:
        truth: classes 0 to ``classes`` - 1, any shape.
        predicted: the same, of the same shape.
        classes: number of classes.
    """
    pairs = truth.astype(np.int64) * classes + predicted
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes).astype(np.int64)


def dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 |A and B| / (|A| + |B|) of each class ``[..., classes]``, from counts ``[..., classes, classes]``."""
    both, true, called = _sizes(counts)
    return _ratio(2.0 * both, true + called)


def iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """|A and B| / |A or B| (the Jaccard index) of each class ``[..., classes]``."""
    both, true, called = _sizes(counts)
    return _ratio(both, true + called - both)


def _sizes(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of each class in both maps, in the first and in the second."""
    whole = counts.astype(np.float64)
    return np.diagonal(whole, axis1=-2, axis2=-1), whole.sum(axis=-1), whole.sum(axis=-2)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where both maps are empty."""
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)
