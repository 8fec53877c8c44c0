"""One split of a segmentation, cut into windows, as arrays on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays
from edgekit.data import cases, preprocess, windows
from edgekit.data.base import IGNORE, Dataset, Preprocessing, Split
from edgekit.data.cases import Case
from edgekit.data.splits import image_hash
from edgekit.errors import InputError

#: Images that are decoded at once. Volumes come one by one: a few of them may fill the memory.
_BLOCK = 16


class _Read(NamedTuple):
    pixels: NDArray[Any]  # [*shape, C]
    mask: NDArray[np.uint8]  # [*shape]
    source: tuple[int, ...]  # shape before resizing, channels included
    sha256: str


def write_cases(
    dataset: Dataset, name: str, split: Split, spec: Preprocessing, folder: Path, report: Callable[[float], None]
) -> tuple[list[str], dict[str, Any]]:
    """Write ``<name>_images.npy`` ``[n, *window, C]``, ``_masks.npy``, ``_groups.npy``, ``_ids.json`` and
    ``_cases.json``, n being the number of windows of all cases.

    Args:
        dataset: what the split belongs to.
        name: of the split.
        split: its images and masks.
        spec: the recipe's ``input``.
        folder: where the files go.
        report: called with the fraction of this split that is done, 0 to 1.

    Returns:
        ``image_hash`` of every case as it was before resizing and cutting, and the split's part of the summary.
        Its ``class_counts`` count the pixels of the cases, each once however many windows it is in.

    Raises:
        InputError: there are no masks, an image or mask cannot be read, a mask does not fit its image or the
            classes, or images are not of the dimensions of ``spec.size``.
    """
    if split.mask is None:
        raise InputError(
            f"the split '{name}' has no masks",
            where=dataset.name,
            remedy="a segmentation learns from masks: use data of 'kind: masks', or 'columns.mask' of an index",
        )
    made: list[Case] = []
    hashes: list[str] = []
    sources: list[tuple[int, ...]] = []
    counts = np.zeros(256, dtype=np.int64)
    content = hashlib.sha256()
    padded = 0
    with (
        arrays.Writer(folder / f"{name}_images.npy") as images,
        arrays.Writer(folder / f"{name}_masks.npy") as masks,
    ):
        for index, one in enumerate(_read_all(dataset, split, spec)):
            shape = one.mask.shape
            starts = windows.grid(shape, spec.size, spec.overlap)
            spacing = split.spacings[index] if split.spacings else None
            if spacing is not None:
                sides = zip(spacing, one.source, shape, strict=False)
                spacing = tuple(mm * before / after for mm, before, after in sides)
            made.append(Case(split.ids[index], shape, spacing, images.written, starts))
            hashes.append(one.sha256)
            sources.append(one.source)
            counts += np.bincount(one.mask.reshape(-1), minlength=256)
            padded += any(side < wanted for side, wanted in zip(shape, spec.size, strict=True))
            for start in starts:
                window = windows.cut(one.pixels, start, spec.size, None)
                truth = windows.cut(one.mask, start, spec.size, IGNORE)
                content.update(window.data)
                content.update(truth.data)
                images.write(window[None])
                masks.write(truth[None])
            report((index + 1) / split.count)
    owner = range(split.count) if split.groups is None else split.groups
    # Numbers in place of names, which may tell who a patient is.
    numbers = np.unique(owner, return_inverse=True)[1].astype(np.int64)
    np.save(folder / f"{name}_groups.npy", np.repeat(numbers, [case.count for case in made]))
    (folder / f"{name}_ids.json").write_text(json.dumps(_ids(made)), encoding="utf-8")
    cases.save(folder / f"{name}_cases.json", made)
    ordered = sorted(sources, key=lambda sides: int(np.prod(sides)))
    spacings = [case.spacing for case in made if case.spacing is not None]
    return hashes, {
        "count": images.written,
        "cases": len(made),
        "class_counts": {label: int(n) for label, n in zip(dataset.classes, counts, strict=False)},
        "ignored": int(counts[IGNORE]),
        "groups": len(set(split.groups)) if split.groups is not None else None,
        "image_sha256": content.hexdigest(),
        "source_size": {"min": list(ordered[0]), "max": list(ordered[-1])},
        "spacing_mm": {"min": np.min(spacings, 0).tolist(), "max": np.max(spacings, 0).tolist()}
        if spacings
        else None,
        "padded_cases": padded,
        "masks": True,
    }


def _read_all(dataset: Dataset, split: Split, spec: Preprocessing) -> Iterator[_Read]:
    """The cases in order, some images ahead, never all of them."""
    at_once = _BLOCK if len(spec.size) == 2 else 1
    # Decoding and resizing release Python's lock, so threads help.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for start in range(0, split.count, at_once):
            numbers = range(start, min(start + at_once, split.count))
            yield from pool.map(lambda index: _read(dataset, split, spec, index), numbers)


def _read(dataset: Dataset, split: Split, spec: Preprocessing, index: int) -> _Read:
    image, case, where = split.image(index), split.ids[index], dataset.name
    dimensions = 3 if image.dtype == np.float32 else 2
    if dimensions != len(spec.size):
        what = "a volume" if dimensions == 3 else "an image"
        size = "depth, height and width" if dimensions == 3 else "height and width"
        raise InputError(
            f"{case} is {what} of {dimensions} dimensions ({_by(image.shape[:dimensions])}), 'input.size' has "
            f"{len(spec.size)} numbers ({_by(spec.size)})",
            where=where,
            remedy=f"give 'input.size' {dimensions} numbers ({size}), or data of {len(spec.size)} dimensions",
        )
    assert split.mask is not None
    shape = image.shape[:dimensions]
    mask = split.mask(index)
    valid = None if split.valid is None else split.valid(index)
    for what, found in (("mask", mask), ("field of view", valid)):
        if found is not None and found.shape != shape:
            raise InputError(
                f"the {what} of {case} is {_by(found.shape)}, its image {_by(shape)}",
                where=where,
                remedy=f"give the {what} the size of its image",
            )
    outside = np.unique(mask[(mask >= len(dataset.classes)) & (mask != IGNORE)])
    if len(outside):
        raise InputError(
            f"the mask of {case} holds the class {outside[0]}; there are {len(dataset.classes)}, numbered from 0",
            where=where,
            remedy="name every class in 'task.classes', or correct the mask",
        )
    if valid is not None:
        mask = np.where(valid, mask, np.uint8(IGNORE))
    if not (mask != IGNORE).any():
        raise InputError(
            f"no pixel of {case} counts: all lie outside of its field of view or are to be ignored",
            where=where,
            remedy="correct the field of view, or leave the image out",
        )
    truth = preprocess.apply_to_mask(mask, spec) if spec.fit == "resize" else mask
    return _Read(preprocess.apply(image, spec), truth, image.shape, image_hash(image))


def _ids(made: list[Case]) -> list[str]:
    """One name a window: its case and, where that has several, its number from 1."""
    return [
        case.id if case.count == 1 else f"{case.id} window {number}"
        for case in made
        for number in range(1, case.count + 1)
    ]


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
