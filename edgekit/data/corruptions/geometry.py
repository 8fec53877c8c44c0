"""Geometry: a patient who lies turned, or beside the middle."""

from __future__ import annotations

import numpy as np

from edgekit.data.corruptions.base import Corruption, Image, each_channel

_SOURCE = "Engstrom et al. 2019, Exploring the landscape of spatial robustness"


def _rotation(image: Image, level: float, random: np.random.Generator) -> Image:
    from scipy.ndimage import rotate

    angle = level * float(random.choice((-1.0, 1.0)))
    return each_channel(image, lambda channel: rotate(channel, angle, reshape=False, order=1, mode="nearest"))


def _translation(image: Image, level: float, random: np.random.Generator) -> Image:
    from scipy.ndimage import shift

    angle = random.uniform(0.0, 2 * np.pi)
    by = level * np.array([np.sin(angle), np.cos(angle)]) * image.shape[:2]
    return each_channel(image, lambda channel: shift(channel, by, order=1, mode="nearest"))


ROTATION = Corruption(
    "rotation",
    _rotation,
    (4.0, 8.0, 13.0, 19.0, 26.0),
    "degrees, to the left or to the right at random; the edge is repeated",
    _SOURCE,
    moves=True,
)
TRANSLATION = Corruption(
    "translation",
    _translation,
    (0.02, 0.05, 0.08, 0.12, 0.16),
    "way in a random direction, as a share of the sides; the edge is repeated",
    _SOURCE,
    moves=True,
)
