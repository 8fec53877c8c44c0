"""A data set ready for training and evaluation: every split as memory-mapped arrays in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import preprocess
from edgekit.data.base import SPLITS, Dataset, Preprocessing, SplitName
from edgekit.data.splits import check_disjoint, overlap
from edgekit.data.write_split import write_split
from edgekit.errors import InputError

_SUMMARY = "summary.json"
_SHOWN = 20


class Prepared:
    """What ``prepare`` wrote. Arrays are opened when they are asked for, read-only, without loading them."""

    def __init__(self, folder: Path, summary: dict[str, Any]) -> None:
        """Use ``Prepared.open``; ``summary`` is what ``prepare`` returned."""
        self.folder = folder
        self.summary = summary
        self.classes: tuple[str, ...] = tuple(summary["classes"])
        self.preprocessing = Preprocessing.model_validate(summary["preprocessing"])
        self._arrays: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Open a folder that ``prepare`` wrote.

        Raises:
            InputError: it is not such a folder, or not whole.
        """
        try:
            return cls(folder, json.loads((folder / _SUMMARY).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"no prepared data: {error}", where=str(folder), remedy="run the recipe again"
            ) from None

    def count(self, split: SplitName) -> int:
        """Number of images."""
        return int(self.summary["splits"][split]["count"])

    def images(self, split: SplitName) -> NDArray[np.uint8]:
        """``uint8[n, H, W, C]``, resized, not yet normalized."""
        return self._array(f"{split}_images")

    def pixels(self, split: SplitName, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """``uint8[k, H, W, C]``, a copy of the images ``indices``."""
        chosen: NDArray[np.uint8] = self.images(split)[np.asarray(indices, dtype=np.int64)]
        return chosen

    def labels(self, split: SplitName) -> NDArray[np.int64]:
        """``int64[n]``, 0 to classes - 1."""
        return self._array(f"{split}_labels")

    def groups(self, split: SplitName) -> NDArray[np.int64]:
        """``int64[n]``: images with the same number are of one patient or lesion.

        Each image has a number of its own where the data names no groups. The numbers of two splits do not belong
        together: no group is in two splits.
        """
        return self._array(f"{split}_groups")

    def masks(self, split: SplitName) -> NDArray[np.uint8] | None:
        """``uint8[n, H, W]``, 0 for background, or none where the data has no masks."""
        return self._array(f"{split}_masks") if self.summary["splits"][split]["masks"] else None

    def ids(self, split: SplitName) -> tuple[str, ...]:
        """What each image is called in its source."""
        return tuple(json.loads((self.folder / f"{split}_ids.json").read_text(encoding="utf-8")))

    def inputs(
        self, split: SplitName, indices: Sequence[int] | NDArray[np.integer[Any]] | None = None
    ) -> NDArray[np.float32]:
        """Normalized inputs ``float32[k, C, H, W]`` of the images ``indices``, or of all."""
        chosen = self.images(split) if indices is None else self.pixels(split, indices)
        return preprocess.normalize(chosen, self.preprocessing)

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            try:
                self._arrays[name] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"prepared data is damaged: {error}", where=str(self.folder), remedy="remove the folder"
                ) from None
        return self._arrays[name]


def prepare(
    dataset: Dataset, spec: Preprocessing, folder: Path, progress: Callable[[float, str], None]
) -> dict[str, Any]:
    """Decode, convert and resize every image into ``folder``.

    Writes ``<split>_images.npy``, ``<split>_labels.npy``, ``<split>_groups.npy``, ``<split>_ids.json``,
    ``<split>_masks.npy`` where there are masks, and ``summary.json``.

    Args:
        dataset: a loaded data set.
        spec: the recipe's ``input``.
        folder: exists and is empty.
        progress: called with the fraction done, 0 to 1, and a short text.

    Returns:
        The summary, plain data: name, classes, preprocessing, provenance, notes, overlap, and for each split
        count, class_counts, groups, image_sha256 (of all resized pixels and labels), source_size and masks.

    Raises:
        InputError: an image cannot be decoded, a split is empty, or splits share a group.
        OSError: the disk is full.
    """
    check_disjoint(dataset.splits, dataset.name)
    total = sum(split.count for split in dataset.splits.values())
    hashes: dict[SplitName, list[str]] = {}
    splits: dict[str, dict[str, Any]] = {}
    done = 0
    for name in SPLITS:
        split = dataset.splits.get(name)
        if split is None or not split.count:
            raise InputError(f"the split '{name}' has no images", where=dataset.name, remedy="give it some")
        start = done / total

        def report(part: float, name: str = name, start: float = start, share: float = split.count / total) -> None:
            progress(start + part * share, f"{name} images")

        hashes[name], splits[name] = write_split(dataset, name, split, spec, folder, report)
        done += split.count
    shared = overlap(hashes, {name: split.ids for name, split in dataset.splits.items()})
    summary: dict[str, Any] = {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "preprocessing": spec.model_dump(mode="json"),
        "splits": splits,
        "overlap": {"count": len(shared), "first": [list(pair) for pair in shared[:_SHOWN]]},
        "notes": [*dataset.notes, *_notes(dataset, splits, spec)],
        "provenance": dataset.provenance,
    }
    if shared:
        pairs = "; ".join(f"{one.split_a} {one.id_a} = {one.split_b} {one.id_b}" for one in shared[:3])
        summary["notes"].append(
            f"WARNING: images with the same pixels in two splits: {len(shared)}, such as {pairs}"
        )
    (folder / _SUMMARY).write_text(json.dumps(summary, indent=1), encoding="utf-8")
    progress(1.0, "data ready")
    return summary


def _notes(dataset: Dataset, splits: dict[str, dict[str, Any]], spec: Preprocessing) -> list[str]:
    """What a reader of the figures should know of the data."""
    notes = []
    for name in SPLITS:
        absent = [label for label, count in splits[name]["class_counts"].items() if not count]
        if absent:
            notes.append(f"WARNING: the split '{name}' has no image of: {', '.join(absent)}")
    shapes = [splits[name]["source_size"][which] for name in SPLITS for which in ("min", "max")]
    height, width = spec.size
    if any(shape[0] * width != shape[1] * height for shape in shapes):
        notes.append(f"images are resized to {height}x{width} without keeping their aspect ratio")
    if any(shape[0] < height or shape[1] < width for shape in shapes):
        notes.append(f"some images are smaller than {height}x{width} and are enlarged")
    if spec.channels == 1 and any(len(shape) == 3 for shape in shapes):
        notes.append("colour images are reduced to gray")
    return notes
