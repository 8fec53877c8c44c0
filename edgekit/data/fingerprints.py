"""Fingerprints of images that survive another encoding, another size and another brightness.

A perceptual hash (pHash, of ImageHash: the signs of the lowest frequencies of a cosine transform) finds candidates
quickly, and finds too many where all images show the same anatomy. Each candidate is therefore compared by its
detail: the image at 32 pixels a side, between two blurs, as a vector of length 1.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import SplitName
from edgekit.data.corruptions import assemble_pixels
from edgekit.data.prepared import Prepared
from edgekit.errors import missing_package

_SIDE = 32
#: Standard deviations of the two blurs, in pixels of the small image: noise and JPEG's blocks lie below the first.
_BLURS = (0.5, 2.0)


class Fingerprints(NamedTuple):
    """Of n images. An image of one gray has a detail of zeros, which is like no other."""

    exact: tuple[bytes, ...]  # digest of the stored pixels
    hashes: NDArray[np.uint64]  # [n], 64 bits
    details: NDArray[np.float32]  # [n, 1024]


def of_split(prepared: Prepared, split: SplitName) -> Fingerprints:
    """Fingerprints of all images of a split; of the cases of a segmentation, and of a volume its middle slice.

    Raises:
        MissingError: ImageHash is not installed.
    """

    exact, hashes, details = [], [], []
    count = len(prepared.cases(split)) if prepared.dense else prepared.count(split)
    for index in range(count):
        pixels = _whole(prepared, split, index)
        exact.append(hashlib.sha256(np.ascontiguousarray(pixels).data).digest())
        one, detail = fingerprint(pixels)
        hashes.append(one)
        details.append(detail)
    return Fingerprints(tuple(exact), np.array(hashes, dtype=np.uint64), np.stack(details))


def fingerprint(pixels: NDArray[Any]) -> tuple[np.uint64, NDArray[np.float32]]:
    """Hash and detail ``[1024]`` of one image ``[H, W, C]``, or of the middle slice of a volume ``[D, H, W, C]``.

    Any numeric type: an image that is not ``uint8`` is scaled from its own least to its own greatest value.
    """
    try:
        import imagehash
    except ImportError:
        raise missing_package("ImageHash", "data") from None
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    flat = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    picture = Image.fromarray(_gray(flat))
    bits = np.packbits(imagehash.phash(picture).hash.ravel())
    small = np.asarray(picture.convert("F").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
    fine, coarse = (gaussian_filter(small, sigma, mode="nearest") for sigma in _BLURS)
    detail = (fine - coarse).astype(np.float32).ravel()
    length = float(np.linalg.norm(detail))
    # A gray level of rounding is no detail.
    detail = detail / length if length > 1e-3 * _SIDE else np.zeros_like(detail)
    return np.frombuffer(bits.tobytes(), dtype=np.uint64)[0], detail


def _gray(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """``uint8[H, W]`` of ``[H, W, C]``."""
    values = pixels.astype(np.float32)
    if pixels.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        values = (values - low) * (255 / (high - low) if high > low else 0.0)
    luma = [0.299, 0.587, 0.114] if values.shape[-1] == 3 else [1.0]
    return np.round(values @ np.array(luma, dtype=np.float32)).astype(np.uint8)


def _whole(prepared: Prepared, split: SplitName, index: int) -> NDArray[Any]:
    if not prepared.dense:
        found: NDArray[Any] = prepared.pixels(split, [index])[0]
        return found
    case = prepared.cases(split)[index]
    return assemble_pixels(case, prepared.pixels(split, case.windows))
