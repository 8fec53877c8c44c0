from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.data.windows import cut, grid


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(("shape", "size"), [((8, 8), (8, 8)), ((35, 20), (16, 8)), ((37, 51, 11), (16, 16, 8))])
def test_every_pixel_is_covered_with_the_overlap_asked_for(
    shape: tuple[int, ...], size: tuple[int, ...], overlap: float
) -> None:
    starts = grid(shape, size, overlap)
    covered = np.zeros(shape, dtype=int)
    for start in starts:
        assert all(a >= 0 and a + b <= c for a, b, c in zip(start, size, shape, strict=True))
        covered[tuple(slice(a, a + b) for a, b in zip(start, size, strict=True))] += 1
    assert covered.min() >= 1
    assert len(set(starts)) == len(starts)
    assert starts == tuple(sorted(starts)), "the first axis is the slowest"
    for axis, side in enumerate(size):
        along = sorted({start[axis] for start in starts})
        assert (along[0], along[-1]) == (0, shape[axis] - side)
        assert all(side - (b - a) >= int(overlap * side) for a, b in itertools.pairwise(along))


def test_without_overlap_windows_are_as_few_as_can_be() -> None:
    assert grid((32, 33), (16, 16), 0.0) == tuple(itertools.product((0, 16), (0, 8, 17)))


def test_a_small_case_lies_in_the_middle_of_its_window() -> None:
    image = np.arange(1, 16).reshape(3, 5)
    (start,) = grid(image.shape, (8, 8), 0.5)
    assert start == (-2, -1)
    window = cut(image, start, (8, 8), 255)
    assert np.array_equal(window[2:5, 1:6], image)
    assert (window == 255).sum() == 64 - 15
    edge = cut(image[..., None], start, (8, 8), None)
    assert edge.shape == (8, 8, 1)
    assert (edge[0, 0, 0], edge[-1, -1, 0], edge[0, 3, 0]) == (1, 15, 3)


def test_cutting_inside_copies_the_pixels() -> None:
    volume = np.random.default_rng(0).normal(size=(9, 8, 7))
    assert np.array_equal(cut(volume, (1, 0, 3), (8, 8, 4), None), volume[1:9, :8, 3:7])
