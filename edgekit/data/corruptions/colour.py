"""Colour temperature: a light source, or a white balance, that is not that of the training images.

The gains of red, green and blue are those of a black body of one temperature over another's, as linear sRGB sees
them (Zini et al. 2023, Planckian jitter). The CIE 1931 observer is Wyman, Sloan and Shirley's analytic fit (2013).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from edgekit.data.corruptions.base import Corruption, Image

_NEUTRAL_K = 6500.0
#: Micro reciprocal degrees: equal steps of it look about equally large.
_MIRED = 1e6
#: Second radiation constant, nm K.
_C2 = 1.4387769e7
_XYZ_TO_RGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
#: Of each curve of the observer: weight, mean, and standard deviation below and above it, in nm.
_OBSERVER = (
    ((1.056, 599.8, 37.9, 31.0), (0.362, 442.0, 16.0, 26.7), (-0.065, 501.1, 20.4, 26.2)),
    ((0.821, 568.8, 46.9, 40.5), (0.286, 530.9, 16.3, 31.1)),
    ((1.217, 437.0, 11.8, 36.0), (0.681, 459.0, 26.0, 13.8)),
)


def white(kelvin: float) -> NDArray[np.float64]:
    """Linear sRGB ``[3]`` of a black body, with a green of 1."""
    nm = np.arange(380.0, 781.0, 5.0)
    light = nm**-5 / np.expm1(_C2 / (nm * kelvin))
    xyz = np.array([light @ sum(_lobe(nm, *lobe) for lobe in curve) for curve in _OBSERVER])
    rgb = np.maximum(_XYZ_TO_RGB @ xyz, 0.0)
    relative: NDArray[np.float64] = rgb / rgb[1]
    return relative


def _lobe(nm: NDArray[np.float64], weight: float, mean: float, below: float, above: float) -> NDArray[np.float64]:
    lobe: NDArray[np.float64] = weight * np.exp(-0.5 * ((nm - mean) / np.where(nm < mean, below, above)) ** 2)
    return lobe


@functools.lru_cache(maxsize=32)
def _gains(mired: float) -> NDArray[np.float32]:
    """``[3]``, by which linear red, green and blue are multiplied; the mean gain is 1."""
    gains = white(_MIRED / (_MIRED / _NEUTRAL_K + mired)) / white(_NEUTRAL_K)
    scaled: NDArray[np.float32] = (gains / gains.mean()).astype(np.float32)
    scaled.setflags(write=False)
    return scaled


def _temperature(image: Image, level: float, random: np.random.Generator) -> Image:
    gains = _gains(level * float(random.choice((-1.0, 1.0))))
    low = np.clip(image, 0.0, 1.0)
    linear = np.where(low <= 0.04045, low / 12.92, ((low + 0.055) / 1.055) ** 2.4) * gains
    linear = np.clip(linear, 0.0, 1.0)
    shifted: Image = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return shifted


TEMPERATURE = Corruption(
    "colour_temperature",
    _temperature,
    (15.0, 30.0, 50.0, 75.0, 105.0),
    f"shift from {_NEUTRAL_K:.0f} K, warmer or cooler at random, in mired (1e6 / K)",
    "Zini et al. 2023, Planckian jitter; Wyman, Sloan and Shirley 2013",
)
