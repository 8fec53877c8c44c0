"""Corrupted images and cases, from prepared data: before normalization, at the resolution of the input.

An image with ``normalization: per_image`` is stored normalized. Its range is scaled to 0 to 1, corrupted, and
normalized again, as the preprocessing would after the scanner: it takes back a change of brightness. Of a volume
the range is that between the 0.5th and the 99.5th percentile, which metal does not decide. A case of several
windows is put together, corrupted as a whole and cut again, so that its windows agree where they overlap.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import preprocess, windows
from edgekit.data.base import Preprocessing, SplitName
from edgekit.data.cases import Case
from edgekit.data.corruptions.base import Corruption
from edgekit.data.prepared import Prepared


def corrupt(
    pixels: NDArray[Any], spec: Preprocessing, one: Corruption, severity: int, seed: int, index: int
) -> NDArray[Any]:
    """One image, or one whole case, as it is stored.

    Args:
        pixels: ``[*sides, C]``: ``uint8``, or ``float32`` where it is normalized by itself, or a volume.
        spec: the recipe's ``input``.
        one: the corruption.
        severity: 1 to 5.
        seed: of the analysis; the same seed, corruption and index give the same image at every severity.
        index: of the image in its split.

    Returns:
        Shape and type of ``pixels``, ``uint8`` rounded and clipped to 0 to 255.
    """
    random = np.random.default_rng((seed, zlib.crc32(one.name.encode()), index))
    if pixels.dtype == np.uint8:
        shown = one.at(pixels.astype(np.float32) / np.float32(255), severity, random)
        return np.round(np.clip(shown, 0.0, 1.0) * 255).astype(np.uint8)
    flat = pixels.ndim == 3
    low, high = (float(end) for end in np.percentile(pixels, (0.0, 100.0) if flat else (0.5, 99.5)))
    if not high > low:
        return pixels.copy()
    shown = one.at(((pixels - low) / (high - low)).astype(np.float32), severity, random)
    result = (np.clip(shown, 0.0, 1.0) if flat else shown) * np.float32(high - low) + np.float32(low)
    return preprocess.standardize(result) if spec.normalization == "per_image" else result


def case_inputs(
    prepared: Prepared, split: SplitName, case: Case, one: Corruption, severity: int, seed: int
) -> NDArray[np.float32]:
    """Normalized windows ``float32[case.count, C, *size]`` of a corrupted case of a segmentation."""
    spec = prepared.preprocessing
    whole = assemble_pixels(case, prepared.pixels(split, case.windows))
    made = corrupt(whole, spec, one, severity, seed, case.first)
    cut = [windows.cut(made, start, spec.size, None) for start in case.starts]
    return preprocess.normalize(np.stack(cut), spec)


def assemble_pixels(case: Case, cut: NDArray[Any]) -> NDArray[Any]:
    """The image ``[*case.shape, C]`` from its windows ``[case.count, *size, C]``, which agree on overlaps."""
    whole = np.empty((*case.shape, cut.shape[-1]), dtype=cut.dtype)
    for window, start in zip(cut, case.starts, strict=True):
        ends = [min(at + side, length) for at, side, length in zip(start, window.shape, case.shape, strict=False)]
        inside = tuple(slice(max(0, at), end) for at, end in zip(start, ends, strict=True))
        own = tuple(slice(max(0, at) - at, end - at) for at, end in zip(start, ends, strict=True))
        whole[inside] = window[own]
    return whole
