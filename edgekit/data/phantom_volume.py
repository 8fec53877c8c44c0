"""Synthetic CT volumes with known truth: ellipsoids of tissue with noise, without a scanner's geometry."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Sides of the volume in mm, along depth, height and width; each volume's differ by up to a tenth.
FIELD_MM = (150.0, 200.0, 200.0)
#: Slices are thicker than pixels are wide, as in most scans.
_SLICES = 0.6
_NOISE_HU = 15.0
_VARY = 0.1


class Volume(NamedTuple):
    """A volume and its truth.

    Attributes:
        hounsfield: ``float32[D, H, W]``.
        regions: ``uint8[D, H, W]``: 0 elsewhere, 1 liver, 2 lesion.
        spacing: mm along the three axes.
    """

    hounsfield: NDArray[np.float32]
    regions: NDArray[np.uint8]
    spacing: tuple[float, float, float]


class Ellipsoid(NamedTuple):
    """Centre and semi-axes in mm along depth, height and width, the centre from the middle of the volume."""

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]


def frame(random: np.random.Generator, size: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Shape in voxels, ``size`` high and wide give or take a tenth, and spacing in mm; drawn first."""
    vary = 1 + _VARY * random.uniform(-1, 1, 3)
    shape = np.maximum(np.round(size * vary * (_SLICES, 1.0, 1.0)), 8).astype(int)
    spacing = np.round(np.array(FIELD_MM) * (1 + _VARY * random.uniform(-1, 1, 3)) / shape, 3)
    return tuple(shape.tolist()), tuple(spacing.tolist())


def draw_volume(random: np.random.Generator, size: int) -> Volume:
    """A liver with one lesion, a vessel and a spleen in a body.

    Args:
        random: decides everything; a fresh one of the same seed gives the same volume.
        size: pixels a side of a slice, give or take a tenth.
    """
    shape, spacing = frame(random, size)

    def vary(*values: float) -> NDArray[np.float64]:
        return np.multiply(values, 1 + _VARY * random.uniform(-1, 1, 3), dtype=np.float64)

    def shift(most: float, *middle: float) -> NDArray[np.float64]:
        return np.add(middle or 0.0, random.uniform(-most, most, 3), dtype=np.float64)

    body = Ellipsoid(shift(4), vary(140, 88, 95))
    liver = Ellipsoid(body.centre + shift(6, 0, -5, -28), vary(48, 46, 50))
    spleen = Ellipsoid(body.centre + shift(6, 0, 5, 58), vary(32, 30, 18))
    vessel = Ellipsoid(liver.centre + shift(20), vary(40, 5, 5))
    radius = random.uniform(13, 22)
    lesion = Ellipsoid(liver.centre + shift(14), vary(radius, radius, radius))
    bright = random.uniform() < 0.5
    grids = [
        np.multiply(np.arange(side) - (side - 1) / 2, mm, dtype=np.float64)
        for side, mm in zip(shape, spacing, strict=True)
    ]
    image = np.full(shape, -95.0, dtype=np.float64)  # fat and what lies around
    for one, hounsfield in (
        (body, 45.0),
        (liver, 100.0),
        (spleen, 115.0),
        (vessel, 150.0),
        (lesion, 190.0 if bright else 15.0),
    ):
        image = image + _coverage(one, grids, min(spacing)) * (hounsfield + random.uniform(-8, 8) - image)
    image = image + random.normal(0, _NOISE_HU, shape)
    regions = np.zeros(shape, dtype=np.uint8)
    regions[_coverage(liver, grids, min(spacing)) >= 0.5] = 1
    regions[_coverage(lesion, grids, min(spacing)) >= 0.5] = 2
    return Volume(image.astype(np.float32), regions, (spacing[0], spacing[1], spacing[2]))


def _coverage(one: Ellipsoid, grids: list[NDArray[np.float64]], voxel_mm: float) -> NDArray[np.float64]:
    """The part of each voxel that the ellipsoid covers, 0 to 1, by the distance from its edge (approximately)."""
    planes = np.meshgrid(*grids, indexing="ij", sparse=True)
    terms = (((x - middle) / half) ** 2 for x, middle, half in zip(planes, one.centre, one.axes, strict=True))
    outside_mm = (np.sqrt(sum(terms)) - 1) * one.axes.min()
    covered: NDArray[np.float64] = np.clip(0.5 - outside_mm / voxel_mm, 0, 1)
    return covered
