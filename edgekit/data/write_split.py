"""One split, decoded and resized, as arrays on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays
from edgekit.data import preprocess
from edgekit.data.base import Dataset, Preprocessing, Split
from edgekit.data.splits import image_hash
from edgekit.errors import InputError

_BLOCK = 64


def write_split(
    dataset: Dataset, name: str, split: Split, spec: Preprocessing, folder: Path, report: Callable[[float], None]
) -> tuple[list[str], dict[str, Any]]:
    """Write ``<name>_images.npy``, ``_labels.npy``, ``_groups.npy``, ``_ids.json``, ``_subgroups.json`` and, with
    masks, ``_masks.npy``.

    Args:
        dataset: what the split belongs to.
        name: of the split.
        split: its images and labels.
        spec: the recipe's ``input``.
        folder: where the files go.
        report: called with the fraction of this split that is done, 0 to 1.

    Returns:
        ``image_hash`` of every image as it was before resizing, and the split's part of the summary.

    Raises:
        InputError: there are no labels, an image or mask cannot be decoded, or a mask does not fit its image.
    """
    if split.labels is None:
        raise InputError(
            f"the split '{name}' has no labels",
            where=dataset.name,
            remedy="a classification needs them; data with masks alone is for 'task.kind: segmentation'",
        )
    hashes = [""] * split.count
    sizes: list[tuple[int, ...]] = [()] * split.count
    content = hashlib.sha256()
    labels = np.asarray(split.labels, dtype=np.int64)
    with (
        arrays.Writer(folder / f"{name}_images.npy") as image_file,
        arrays.Writer(folder / f"{name}_masks.npy") if split.mask else nullcontext() as mask_file,
        # Decoding and resizing release Python's lock, so threads help.
        ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool,
    ):

        def one(index: int) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
            image = split.image(index)
            hashes[index], sizes[index] = image_hash(image), image.shape
            mask = None if split.mask is None else split.mask(index)
            if mask is not None and mask.shape != image.shape[:2]:
                raise InputError(
                    f"the mask of {split.ids[index]} is {_by(mask.shape)}, its image {_by(image.shape)}",
                    where=dataset.name,
                    remedy="give the mask the size of its image",
                )
            return preprocess.apply(image, spec), None if mask is None else preprocess.apply_to_mask(mask, spec)

        for start in range(0, split.count, _BLOCK):
            end = min(start + _BLOCK, split.count)
            for pixels, mask in pool.map(one, range(start, end)):
                content.update(pixels.data)
                image_file.write(pixels[None])
                if mask_file is not None and mask is not None:
                    mask_file.write(mask[None])
            report(end / split.count)
    content.update(labels.data)
    np.save(folder / f"{name}_labels.npy", labels)
    # Numbers in place of names, which may tell who a patient is.
    groups = range(split.count) if split.groups is None else split.groups
    np.save(folder / f"{name}_groups.npy", np.unique(groups, return_inverse=True)[1].astype(np.int64))
    (folder / f"{name}_ids.json").write_text(json.dumps(split.ids), encoding="utf-8")
    (folder / f"{name}_subgroups.json").write_text(json.dumps(split.subgroups), encoding="utf-8")
    counts = np.bincount(labels, minlength=len(dataset.classes))
    smallest, largest = min(sizes, key=_area), max(sizes, key=_area)
    return hashes, {
        "count": split.count,
        "class_counts": {label: int(n) for label, n in zip(dataset.classes, counts, strict=True)},
        "groups": len(set(split.groups)) if split.groups is not None else None,
        "image_sha256": content.hexdigest(),
        "source_size": {"min": list(smallest), "max": list(largest)},
        "masks": split.mask is not None,
    }


def _area(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1]


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape[:2])
