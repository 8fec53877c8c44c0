"""Intensity: an exposure or a window that is not that of the training images."""

from __future__ import annotations

import numpy as np

from edgekit.data.corruptions.base import Corruption, Image

_SOURCE = "Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions"


def _contrast(image: Image, level: float, random: np.random.Generator) -> Image:
    middle = np.float32(image.mean(dtype=np.float64))
    return middle + np.float32(1 - level) * (image - middle)


def _brightness(image: Image, level: float, random: np.random.Generator) -> Image:
    # Up or down by the image, so that neither is left out and the number of images is not doubled.
    return image + np.float32(level * random.choice((-1.0, 1.0)))


CONTRAST = Corruption(
    "contrast",
    _contrast,
    (0.25, 0.40, 0.55, 0.70, 0.80),
    "loss of contrast, as a share of it",
    _SOURCE,
    sides=(2, 3),
)
BRIGHTNESS = Corruption(
    "brightness",
    _brightness,
    (0.08, 0.14, 0.20, 0.28, 0.36),
    "shift up or down at random, as a share of the intensity range",
    _SOURCE,
    sides=(2, 3),
)
