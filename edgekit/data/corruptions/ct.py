"""What a CT scanner does to an image: the noise of a low dose, and rings of detectors that differ.

Both are added to the reconstructed image, since its projections are gone. Noise of filtered back projection is not
white: its power rises with the frequency until the reconstruction's window lowers it (Riederer, Pelc and Chesler
1978). It is uniform over the image here; in a scanner it is stronger behind bone. A detector that reads too much or
too little at every angle leaves a circle about the axis of rotation, taken as the middle of the image (Boas and
Fleischmann 2012).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from edgekit.data.corruptions.base import Corruption, Image

#: Detectors that differ from their neighbours.
_FAULTY = 0.25


def _low_dose(image: Image, level: float, random: np.random.Generator) -> Image:
    height, width = image.shape[-3:-1]
    white = random.standard_normal((*image.shape[:-3], height, width))
    amplitude = _amplitude(height, width)
    noise = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(height, width))
    return image + (level * noise[..., None]).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _amplitude(height: int, width: int) -> NDArray[np.float64]:
    """Of each frequency of a slice ``[height, width // 2 + 1]``; white noise keeps its standard deviation of 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    # Power of the noise: ramp times the square of the window, here Hann's (as the amplitude, its root).
    amplitude = np.sqrt(frequency) * np.where(frequency < 0.5, 0.5 * (1 + np.cos(2 * np.pi * frequency)), 0.0)
    twice = np.full(width // 2 + 1, 2.0)
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    scaled: NDArray[np.float64] = amplitude / np.sqrt((amplitude**2 * twice).sum() / (height * width))
    return scaled


def _rings(image: Image, level: float, random: np.random.Generator) -> Image:
    height, width = image.shape[-3:-1]
    radius = _radius(height, width)
    detectors = int(radius.max()) + 2
    offset = random.standard_normal(detectors) * (random.random(detectors) < _FAULTY)
    rings = np.interp(radius, np.arange(detectors), offset)
    return image + (level * rings[..., None]).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _radius(height: int, width: int) -> NDArray[np.float64]:
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    radius: NDArray[np.float64] = np.hypot(rows[:, None], columns[None])
    return radius


LOW_DOSE = Corruption(
    "low_dose",
    _low_dose,
    (0.03, 0.05, 0.08, 0.12, 0.17),
    "standard deviation of noise with the spectrum of filtered back projection, as a share of the shown window",
    "Riederer, Pelc and Chesler 1978, The noise power spectrum in computed X-ray tomography",
    sides=(2, 3),
)
RINGS = Corruption(
    "ring_artifact",
    _rings,
    (0.04, 0.07, 0.11, 0.16, 0.22),
    f"standard deviation of the offset of {_FAULTY:.0%} of the rings, as a share of the shown window",
    "Boas and Fleischmann 2012, CT artifacts: causes and reduction techniques",
    sides=(2, 3),
)
