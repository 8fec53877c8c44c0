"""A case put together again from its windows.

Where windows overlap, their logits are averaged, with weights that fall off from the middle of each window as a
Gaussian whose standard deviation is an eighth of the window's side: a network sees least around a pixel at the
border. nnU-Net (Isensee et al. 2021) blends in this way, MONAI's ``sliding_window_inference`` with
``mode="gaussian"`` as well. It is the logits that are blended, as in nnU-Net; the mask is the argmax of the blended
logits and the probabilities are their softmax, so both always belong together.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.data.cases import Case

#: Standard deviation of the weights, as a share of the window's side.
_SIGMA = 0.125


def assemble(case: Case, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blended logits ``float32[K, *case.shape]``.

    A pixel that only one window covers keeps its logits bit by bit. What a window holds outside the case (padding)
    is cut off.

    Args:
        case: where its windows lie.
        windows: ``[case.count, K, *window]``, finite; may be a memory map, of which one window at a time is read.

    Raises:
        InputError: the windows are not as many as the case has, or leave a pixel uncovered.
    """
    _check(case, windows.shape[0])
    size = windows.shape[2:]
    weights = importance(size)
    total = np.zeros(case.shape, dtype=np.float32)
    places = [_place(start, size, case.shape) for start in case.starts]
    for inside, own in places:
        total[inside] += weights[own]
    if not total.all():
        raise InputError(f"its windows leave {int((total == 0).sum())} pixels uncovered", where=f"case '{case.id}'")
    blended = np.zeros((windows.shape[1], *case.shape), dtype=np.float32)
    for window, (inside, own) in zip(windows, places, strict=True):
        # Divided first: the weights of a pixel then sum to 1, and that of a single window is exactly 1.
        blended[(slice(None), *inside)] += window[(slice(None), *own)] * (weights[own] / total[inside])
    return blended


def assemble_mask(case: Case, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The true mask ``uint8[*case.shape]`` from its windows ``[case.count, *window]``, which agree on overlaps.

    Raises:
        InputError: the windows are not as many as the case has.
    """
    _check(case, windows.shape[0])
    mask = np.zeros(case.shape, dtype=np.uint8)
    for window, start in zip(windows, case.starts, strict=True):
        inside, own = _place(start, window.shape, case.shape)
        mask[inside] = window[own]
    return mask


@functools.cache
def importance(size: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights ``float32[*size]`` of a window's pixels, all > 0, before they are made to sum to 1."""
    product = np.ones((), dtype=np.float64)
    for side in size:
        offset = (np.arange(side) - (side - 1) / 2.0) / (side * _SIGMA)
        product = np.multiply.outer(product, np.exp(-0.5 * offset**2))
    weights = product.astype(np.float32)
    weights.setflags(write=False)
    return weights


def _place(
    start: tuple[int, ...], size: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a window that starts at ``start`` lies in the case, and which part of the window that is."""
    first = [max(0, at) for at in start]
    last = [min(at + side, whole) for at, side, whole in zip(start, size, shape, strict=True)]
    inside = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    own = tuple(slice(a - at, b - at) for a, b, at in zip(first, last, start, strict=True))
    return inside, own


def _check(case: Case, count: int) -> None:
    if count != len(case.starts):
        raise InputError(f"{count} windows were given and it has {len(case.starts)}", where=f"case '{case.id}'")
