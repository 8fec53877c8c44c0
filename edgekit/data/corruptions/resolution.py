"""Resolution: fewer pixels than the network was trained on, coarse pixels, and compression."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from edgekit.data.corruptions.base import Corruption, Image, each_channel

_SOURCE = "Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions"


def _jpeg(image: Image, level: float, random: np.random.Generator) -> Image:
    from PIL import Image as Pillow

    pixels = _bytes(image)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "JPEG", quality=int(level))
    read: Image = np.asarray(Pillow.open(buffer), dtype=np.float32) / np.float32(255)
    return read.reshape(image.shape)


def _bytes(image: Image) -> NDArray[np.uint8]:
    return np.round(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)


def _pixelation(image: Image, level: float, random: np.random.Generator) -> Image:
    from PIL import Image as Pillow

    def coarse(channel: Image) -> Image:
        small = Pillow.fromarray(channel).resize(_smaller(channel, level), Pillow.Resampling.BOX)
        return np.asarray(small.resize(channel.shape[::-1], Pillow.Resampling.NEAREST), dtype=np.float32)

    return each_channel(image, coarse)


def _shift(image: Image, level: float, random: np.random.Generator) -> Image:
    return each_channel(image, lambda channel: _resampled(channel, level))


def _resampled(channel: Image, level: float) -> Image:
    if channel.ndim == 3:
        from scipy.ndimage import gaussian_filter, zoom

        # Smoothed first, as a scanner averages over a voxel: half a coarse voxel is the standard deviation.
        smooth = gaussian_filter(channel, 0.5 * (1 / level - 1), mode="nearest")
        coarse = zoom(smooth, [max(2, round(side * level)) / side for side in channel.shape], order=1)
        back = [wanted / given for wanted, given in zip(channel.shape, coarse.shape, strict=True)]
        volume: Image = zoom(coarse, back, order=1)
        return volume
    from PIL import Image as Pillow

    small = Pillow.fromarray(channel).resize(_smaller(channel, level), Pillow.Resampling.BILINEAR)
    return np.asarray(small.resize(channel.shape[::-1], Pillow.Resampling.BICUBIC), dtype=np.float32)


def _smaller(channel: Image, level: float) -> tuple[int, int]:
    height, width = channel.shape
    return max(2, round(width * level)), max(2, round(height * level))


JPEG = Corruption("jpeg_compression", _jpeg, (50, 30, 18, 10, 6), "quality of the JPEG file (libjpeg)", _SOURCE)
PIXELATION = Corruption(
    "pixelation",
    _pixelation,
    (0.80, 0.60, 0.45, 0.33, 0.25),
    "sides after averaging, as a share; enlarged by repetition",
    _SOURCE,
)
SHIFT = Corruption(
    "resolution_shift",
    _shift,
    (0.75, 0.55, 0.40, 0.28, 0.20),
    "sides after a smooth reduction, as a share; enlarged by interpolation",
    "Sabottke and Spieler 2020, The effect of image resolution on deep learning in radiography",
    sides=(2, 3),
)
