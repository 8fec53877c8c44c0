"""Cases put together from their windows: exact where one covers, a weighted mean where several do."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.base import IGNORE
from edgekit.data.cases import Case
from edgekit.errors import InputError
from edgekit.evaluate.sliding_window import assemble, assemble_mask, importance


def grid(shape: tuple[int, ...], window: tuple[int, ...], step: tuple[int, ...], start: int = 0) -> Case:
    """A case whose windows start at ``start`` and follow at ``step`` until the end is covered."""
    starts = [
        range(start, max(side - size, 0) + by, by) for side, size, by in zip(shape, window, step, strict=True)
    ]
    return Case(id="a", shape=shape, spacing=None, first=0, starts=tuple(product(*starts)))


def cut(array: NDArray[Any], case: Case, window: tuple[int, ...]) -> NDArray[Any]:
    """Windows ``[count, ..., *window]`` of an array whose last axes are the case's; 99 outside of it."""
    lead = array.ndim - len(window)
    wide = np.pad(array, [(0, 0)] * lead + [(side, side) for side in window], constant_values=99)
    found = []
    for start in case.starts:
        inside = [slice(at + side, at + 2 * side) for at, side in zip(start, window, strict=True)]
        found.append(wide[(*(slice(None),) * lead, *inside)])
    return np.stack(found)


CASES = [
    ((21, 30), (8, 16), (4, 8)),
    ((40, 33), (16, 16), (5, 7)),
    ((5, 30), (8, 16), (4, 8)),  # smaller than a window
    ((11, 9, 10), (4, 8, 8), (2, 4, 3)),
]


@pytest.mark.parametrize(("shape", "window", "step"), CASES)
@pytest.mark.parametrize("start", [0, -3])
def test_windows_that_agree_give_the_case(
    shape: tuple[int, ...], window: tuple[int, ...], step: tuple[int, ...], start: int
) -> None:
    case = grid(shape, window, step, start)
    logits = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    made = assemble(case, cut(logits, case, window))
    assert made.dtype == np.float32
    assert made.shape == logits.shape
    np.testing.assert_allclose(made, logits, rtol=2e-6, atol=1e-6)
    mask = np.random.default_rng(1).choice(np.array([0, 1, 2, IGNORE], dtype=np.uint8), shape)
    np.testing.assert_array_equal(assemble_mask(case, cut(mask, case, window)), mask)


@pytest.mark.parametrize(("shape", "window", "step"), CASES)
def test_the_weights_of_every_pixel_sum_to_one(
    shape: tuple[int, ...], window: tuple[int, ...], step: tuple[int, ...]
) -> None:
    case = grid(shape, window, step, -1)
    count = len(case.starts)
    # One class per window, 1 in its own window and 0 in the others: each class becomes that window's weights.
    windows = np.zeros((count, count, *window), dtype=np.float32)
    windows[np.arange(count), np.arange(count)] = 1.0
    shares = assemble(case, windows)
    assert shares.min() >= 0.0
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-6)


def test_one_window_is_kept_bit_by_bit() -> None:
    windows = (np.random.default_rng(0).normal(size=(1, 2, 8, 8)) * 1e3).astype(np.float32)
    np.testing.assert_array_equal(assemble(Case("a", (8, 8), None, 0, ((0, 0),)), windows), windows[0])
    # Padded at both sides of the first axis and after the second.
    padded = assemble(Case("a", (5, 6), None, 0, ((-2, 0),)), windows)
    np.testing.assert_array_equal(padded, windows[0, :, 2:7, :6])


def test_the_middle_of_a_window_counts_more_than_its_border() -> None:
    case = Case("a", (1, 12), None, 0, ((0, 0), (0, 4)))
    windows = np.zeros((2, 1, 1, 8), dtype=np.float32)
    windows[1] = 1.0
    made = assemble(case, windows)[0, 0]
    assert (made[:4] == 0.0).all()
    assert (made[8:] == 1.0).all()
    # Columns 4 to 7 lie in both: towards its middle the share of the second window grows, and mirrors the first's.
    assert (np.diff(made[3:9]) > 0).all()
    np.testing.assert_allclose(made[4:8] + made[4:8][::-1], 1.0, atol=1e-6)


def test_the_weights_are_monais() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        utils = pytest.importorskip("monai.data.utils")
    for size in ((16, 32), (9, 8, 12)):
        theirs = utils.compute_importance_map(size, mode="gaussian", sigma_scale=0.125).numpy()
        # MONAI raises the smallest weights to 1e-3.
        np.testing.assert_allclose(np.maximum(importance(size), 1e-3), theirs, rtol=1e-5)
        assert importance(size).min() > 0


def test_what_does_not_fit() -> None:
    case = Case("scan 7", (8, 12), None, 0, ((0, 0), (0, 2)))
    with pytest.raises(InputError, match=r"case 'scan 7': its windows leave 16 pixels uncovered"):
        assemble(case, np.ones((2, 2, 8, 8), dtype=np.float32))
    with pytest.raises(InputError, match="case 'scan 7': 3 windows were given and it has 2"):
        assemble(case, np.ones((3, 2, 8, 8), dtype=np.float32))
    with pytest.raises(InputError, match="3 windows were given and it has 2"):
        assemble_mask(case, np.ones((3, 8, 8), dtype=np.uint8))
