"""Blur: out of focus, and of a movement along a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.data.corruptions.base import Corruption, Image, each_channel

#: Sides below this are blurred like it: a smaller standard deviation would not reach the next pixel.
_LEAST = 64
_SOURCE = "Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions"


def _gaussian(image: Image, level: float, random: np.random.Generator) -> Image:
    from scipy.ndimage import gaussian_filter

    sigma = level * max(_LEAST, *image.shape[:-1])
    return each_channel(image, lambda channel: gaussian_filter(channel, sigma, mode="nearest"))


def _motion(image: Image, level: float, random: np.random.Generator) -> Image:
    kernel = _line(level * min(image.shape[:-1]), random.uniform(0.0, np.pi))
    margin = kernel.shape[0] // 2

    def blurred(channel: Image) -> Image:
        padded = np.pad(channel, margin, mode="edge")
        spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel, padded.shape)
        # The product is that of a circle; what wrapped round lies in the first rows and columns.
        result: Image = np.fft.irfft2(spectrum, padded.shape)[2 * margin :, 2 * margin :].astype(np.float32)
        return result

    return each_channel(image, blurred)


def _line(length: float, angle: float) -> NDArray[np.float32]:
    """A kernel ``[side, side]`` with the sum 1: points on a line of ``length`` pixels, shared by neighbours."""
    margin = int(np.ceil(length / 2)) + 1
    along = np.linspace(-length / 2, length / 2, 4 * margin + 1)
    rows, columns = along * np.sin(angle) + margin, along * np.cos(angle) + margin
    kernel = np.zeros((2 * margin + 1, 2 * margin + 1), dtype=np.float32)
    low_row, low_column = np.floor(rows).astype(int), np.floor(columns).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - (rows - low_row)) * np.abs(1 - right - (columns - low_column))
            np.add.at(kernel, (low_row + down, low_column + right), weight.astype(np.float32))
    kernel /= kernel.sum()
    return kernel


GAUSSIAN = Corruption(
    "gaussian_blur",
    _gaussian,
    (0.008, 0.013, 0.020, 0.030, 0.045),
    f"standard deviation, as a share of the longest side (of {_LEAST} pixels at least)",
    _SOURCE,
    sides=(2, 3),
)
MOTION = Corruption(
    "motion_blur",
    _motion,
    (0.03, 0.05, 0.075, 0.10, 0.14),
    "length of the movement in a random direction, as a share of the shorter side",
    _SOURCE,
)
