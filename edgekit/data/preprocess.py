"""From a decoded image or volume to the network's input, with NumPy and Pillow alone.

A user who holds an artifact and its stored ``Preprocessing`` can reproduce the input with ``apply`` and
``normalize``; with ``fit: window``, ``windows.grid`` and ``windows.cut`` come between the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import Preprocessing


def apply(image: NDArray[Any], spec: Preprocessing) -> NDArray[Any]:
    """Convert the colours; with ``fit: resize`` resize the whole image, not keeping the aspect ratio; with
    ``normalization: per_image`` subtract the mean of what results and divide by its standard deviation.

    Gray becomes colour by repetition; colour becomes gray by ITU-R 601 luma (Pillow's mode ``L``). Pillow's
    bilinear and bicubic filters widen when they shrink an image, so that nothing aliases.

    Args:
        image: ``uint8[H, W]`` or ``uint8[H, W, 3]``, or a volume ``float32[D, H, W]``.
        spec: the recipe's ``input``.

    Returns:
        ``[height, width, channels]`` or ``[D, H, W, 1]``: ``uint8`` for an image with fixed normalization,
        ``float32`` otherwise. With ``fit: window`` the sides are the image's own.
    """
    pixels = image[..., None] if image.dtype == np.float32 else _convert(image, spec)
    return standardize(pixels) if spec.normalization == "per_image" else pixels


def _convert(image: NDArray[np.uint8], spec: Preprocessing) -> NDArray[np.uint8]:
    from PIL import Image

    methods = {
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "nearest": Image.Resampling.NEAREST,
    }
    # Gray data is resized as one channel and repeated afterwards: the same result for a third of the work.
    mode = "L" if spec.channels == 1 or image.ndim == 2 else "RGB"
    picture = Image.fromarray(np.ascontiguousarray(image)).convert(mode)
    if spec.fit == "resize":
        height, width = spec.size
        if picture.size != (width, height):
            picture = picture.resize((width, height), methods[spec.resize])
    pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], spec.channels, axis=2)
    return pixels


def standardize(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Each channel with mean 0 and standard deviation 1; a channel of one value becomes 0."""
    axes = tuple(range(pixels.ndim - 1))
    mean = pixels.mean(axis=axes, dtype=np.float64)
    deviation = pixels.std(axis=axes, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    result: NDArray[np.float32] = pixels.astype(np.float32)
    result -= mean.astype(np.float32)
    result /= deviation.astype(np.float32)
    return result


def apply_to_mask(mask: NDArray[np.uint8], spec: Preprocessing) -> NDArray[np.uint8]:
    """Resize a mask ``uint8[H, W]`` to ``uint8[height, width]`` without mixing its values."""
    from PIL import Image

    height, width = spec.size
    picture = Image.fromarray(np.ascontiguousarray(mask)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(picture, dtype=np.uint8)


def normalize(images: NDArray[Any], spec: Preprocessing) -> NDArray[np.float32]:
    """Scale, subtract the mean, divide by the standard deviation.

    Args:
        images: ``[n, H, W, C]`` or ``[n, D, H, W, C]`` as ``apply`` returns them.
        spec: the recipe's ``input``.

    Returns:
        ``float32[n, C, H, W]`` or ``float32[n, C, D, H, W]``, contiguous.
    """
    scaled = np.moveaxis(images, -1, 1).astype(np.float32, order="C")
    if spec.normalization == "per_image":
        return scaled  # ``apply`` has done it
    by_channel = (-1, *[1] * len(spec.size))
    scaled /= np.float32(spec.scale)
    scaled -= np.asarray(spec.mean, dtype=np.float32).reshape(by_channel)
    scaled /= np.asarray(spec.std, dtype=np.float32).reshape(by_channel)
    return scaled
