"""From a decoded image to the network's input, with NumPy and Pillow alone.

A user who holds an artifact and its stored ``Preprocessing`` can reproduce the input with these two functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import Preprocessing


def apply(image: NDArray[np.uint8], spec: Preprocessing) -> NDArray[np.uint8]:
    """Convert the colours, then resize the whole image; the aspect ratio is not kept.

    Gray becomes colour by repetition; colour becomes gray by ITU-R 601 luma (Pillow's mode ``L``). Pillow's
    bilinear and bicubic filters widen when they shrink an image, so that nothing aliases.

    Args:
        image: ``uint8[H, W]`` or ``uint8[H, W, 3]``.
        spec: the recipe's ``input``.

    Returns:
        ``uint8[height, width, channels]``.
    """
    from PIL import Image

    methods = {
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "nearest": Image.Resampling.NEAREST,
    }
    # Gray data is resized as one channel and repeated afterwards: the same result for a third of the work.
    mode = "L" if spec.channels == 1 or image.ndim == 2 else "RGB"
    picture = Image.fromarray(np.ascontiguousarray(image)).convert(mode)
    height, width = spec.size
    if picture.size != (width, height):
        picture = picture.resize((width, height), methods[spec.resize])
    pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], spec.channels, axis=2)
    return pixels


def apply_to_mask(mask: NDArray[np.uint8], spec: Preprocessing) -> NDArray[np.uint8]:
    """Resize a mask ``uint8[H, W]`` to ``uint8[height, width]`` without mixing its values."""
    from PIL import Image

    height, width = spec.size
    picture = Image.fromarray(np.ascontiguousarray(mask)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(picture, dtype=np.uint8)


def normalize(images: NDArray[np.uint8], spec: Preprocessing) -> NDArray[np.float32]:
    """Scale, subtract the mean, divide by the standard deviation.

    Args:
        images: ``uint8[n, H, W, C]`` as ``apply`` returns them.
        spec: the recipe's ``input``.

    Returns:
        ``float32[n, C, H, W]``, contiguous.
    """
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    scaled /= np.float32(spec.scale)
    scaled -= np.asarray(spec.mean, dtype=np.float32)[:, None, None]
    scaled /= np.asarray(spec.std, dtype=np.float32)[:, None, None]
    return scaled
