"""HD95: the distance within which 95 % of two surfaces lie.

The definition is MONAI's (``compute_hausdorff_distance`` with ``percentile=95``), which follows DeepMind's
surface-distance. A pixel belongs to the surface of a mask when one of its direct neighbours (4 in 2-D, 6 in 3-D)
is outside the mask or outside the image. For each surface pixel of one mask the Euclidean distance to the nearest
surface pixel of the other is taken, from centre to centre; HD95 is the larger of the 95th percentiles of both
directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import missing_package

_PERCENTILE = 0.95


def hd95(first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: Sequence[float] | None = None) -> float:
    """HD95 of two masks ``[H, W]`` or ``[D, H, W]``; it does not depend on their order.

    Args:
        first: a mask.
        second: one of the same shape.
        spacing: size of a pixel along each axis, in mm; none counts in pixels.

    Returns:
        The distance, in the unit of ``spacing``; NaN when either mask is empty, as in MONAI: there is no surface
        then to measure from or to.

    Raises:
        MissingError: scipy is not installed.
    """
    if not first.any() or not second.any():
        return math.nan
    # Outside the box that holds both masks nothing is in either, so cutting it away moves no surface.
    box = _box(first | second)
    scale = np.ones(first.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    points = [np.argwhere(_surface(mask[box])) * scale for mask in (first, second)]
    return max(_reach(points[0], points[1]), _reach(points[1], points[0]))


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds ``mask``, which is not empty."""
    sides = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        used = np.flatnonzero(mask.any(axis=others))
        sides.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(sides)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of ``mask`` with a direct neighbour that is not in it; beyond the border nothing is."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(mask.ndim):
        for step in (slice(0, -2), slice(2, None)):
            neighbour = [slice(1, -1)] * mask.ndim
            neighbour[axis] = step
            inner &= padded[tuple(neighbour)]
    return mask & ~inner


def _reach(start: NDArray[np.float64], goal: NDArray[np.float64]) -> float:
    """The distance within which 95 % of the points ``start`` ``[n, d]`` find one of ``goal`` ``[m, d]``."""
    try:
        from scipy.spatial import KDTree
    except ImportError:
        raise missing_package("scipy", "segmentation") from None
    distances, _ = KDTree(goal).query(start)
    return float(np.quantile(distances, _PERCENTILE))
