"""HD95 against MONAI and against a brute-force search, in 2-D and 3-D."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import MissingError
from edgekit.evaluate.surface import hd95

Mask = NDArray[np.bool_]


def blob(shape: tuple[int, ...], seed: int) -> Mask:
    """A ball of random place and size with rough edges and some specks; it may touch the border."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in shape), indexing="ij"))
    centre = rng.uniform(0, shape).reshape(-1, *(1,) * len(shape))
    radius = rng.uniform(2, max(shape) / 2)
    distance = np.sqrt(((grid - centre) ** 2).sum(axis=0))
    mask: Mask = distance + rng.normal(0, 1.0, shape) < radius
    mask.ravel()[rng.integers(0, mask.size, 3)] = True
    return mask


def brute_force(first: Mask, second: Mask, spacing: tuple[float, ...]) -> float:
    """The definition, pixel by pixel, with a sorted list for the percentile."""

    def surface(mask: Mask) -> NDArray[np.float64]:
        found = []
        for place in np.argwhere(mask):
            for axis in range(mask.ndim):
                for step in (-1, 1):
                    other = place.copy()
                    other[axis] += step
                    outside = other[axis] < 0 or other[axis] >= mask.shape[axis]
                    if outside or not mask[tuple(other)]:
                        found.append(tuple(place))
        points: NDArray[np.float64] = np.array(sorted(set(found))) * np.array(spacing)
        return points

    def reach(start: NDArray[np.float64], goal: NDArray[np.float64]) -> float:
        nearest = sorted(min(math.dist(point, other) for other in goal) for point in start)
        at = 0.95 * (len(nearest) - 1)
        low = math.floor(at)
        high = min(low + 1, len(nearest) - 1)
        return nearest[low] + (at - low) * (nearest[high] - nearest[low])

    points = surface(first), surface(second)
    return max(reach(points[0], points[1]), reach(points[1], points[0]))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((17, 23), (1.0, 1.0)), ((17, 23), (0.4, 2.5)), ((9, 8, 7), (1.0, 1.0, 1.0)), ((9, 8, 7), (3.0, 0.7, 0.7))],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_definition(shape: tuple[int, ...], spacing: tuple[float, ...], seed: int) -> None:
    truth, predicted = blob(shape, seed), blob(shape, seed + 100)
    expected = brute_force(truth, predicted, spacing)
    assert hd95(truth, predicted, spacing) == pytest.approx(expected, rel=1e-12)
    assert hd95(predicted, truth, spacing) == pytest.approx(expected, rel=1e-12)
    if set(spacing) == {1.0}:
        assert hd95(truth, predicted) == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.metrics")


def by_monai(monai: Any, truth: Mask, predicted: Mask, spacing: tuple[float, ...] | None) -> tuple[float, float]:
    """MONAI's HD95, and the same from its distances with the percentile in float64.

    MONAI interpolates between two ranks in float32, where rank 1000 is known to 6e-5 only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of empty masks
        import torch
        from monai.metrics.utils import get_edge_surface_distance

        found = monai.compute_hausdorff_distance(
            predicted[None, None].astype(np.float32),
            truth[None, None].astype(np.float32),
            include_background=True,
            percentile=95,
            spacing=spacing,
        )
        masks = torch.from_numpy(predicted), torch.from_numpy(truth)
        _, distances, _ = get_edge_surface_distance(*masks, spacing=spacing, symmetric=True)
    if not (truth.any() and predicted.any()):
        return float(found), math.nan
    return float(found), max(float(np.quantile(one.numpy().astype(np.float64), 0.95)) for one in distances)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((60, 80), None), ((60, 80), (0.3, 1.7)), ((20, 24, 16), None), ((20, 24, 16), (5.0, 0.8, 0.9))],
)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_monais(monai: Any, shape: tuple[int, ...], spacing: tuple[float, ...] | None, seed: int) -> None:
    noise = np.random.default_rng(seed).random((2, *shape)) < 0.3
    for truth, predicted in ((blob(shape, seed), blob(shape, seed + 50)), (noise[0], noise[1])):
        rounded, exact = by_monai(monai, truth, predicted, spacing)
        assert exact > 0
        assert hd95(truth, predicted, spacing) == pytest.approx(exact, rel=1e-6)
        assert hd95(truth, predicted, spacing) == pytest.approx(rounded, rel=1e-4)


def test_empty_masks_have_no_distance_as_in_monai(monai: Any) -> None:
    some, empty = blob((10, 12), 0), np.zeros((10, 12), dtype=np.bool_)
    for truth, predicted in ((empty, empty), (empty, some), (some, empty)):
        assert math.isnan(hd95(truth, predicted))
        assert math.isnan(by_monai(monai, truth, predicted, None)[0])


def test_single_pixels_equal_masks_and_full_images() -> None:
    one, other = np.zeros((5, 9), dtype=np.bool_), np.zeros((5, 9), dtype=np.bool_)
    one[0, 0] = other[3, 8] = True
    assert hd95(one, other, (1.0, 0.5)) == 5.0
    assert hd95(one, one) == 0.0
    # All of the border is surface, because nothing is beyond it: the pixel is 0 from it, most of it far away.
    full = np.ones((5, 9), dtype=np.bool_)
    assert hd95(full, full) == 0.0
    assert hd95(one, full) == pytest.approx(brute_force(one, full, (1.0, 1.0)))


def test_where_the_masks_lie_does_not_matter() -> None:
    truth, predicted = blob((12, 14), 3), blob((12, 14), 4)
    there = np.zeros((2, 90, 70), dtype=np.bool_)
    there[0, 30:42, 41:55], there[1, 30:42, 41:55] = truth, predicted
    assert hd95(there[0], there[1]) == hd95(truth, predicted)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(MissingError, match=r"'scipy' is not installed .*edgekit\[segmentation\]"):
        hd95(blob((8, 8), 0), blob((8, 8), 1))
