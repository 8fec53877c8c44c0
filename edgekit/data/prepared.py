"""A data set ready for training and evaluation: every split as memory-mapped arrays in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays
from edgekit.data import cases, notes, preprocess
from edgekit.data.base import SPLITS, Dataset, Preprocessing, SplitName
from edgekit.data.cases import Case
from edgekit.data.splits import check_disjoint, overlap
from edgekit.data.write_cases import write_cases
from edgekit.data.write_split import write_split
from edgekit.errors import InputError

_SUMMARY = "summary.json"
_SHOWN = 20


class Prepared:
    """What ``prepare`` wrote. Arrays are opened when they are asked for, read-only, without loading them.

    Its images are those of a classification, or the windows of a segmentation's cases.

    Attributes:
        dense: segmentation: the truth is a mask of each window.
    """

    def __init__(self, folder: Path, summary: dict[str, Any]) -> None:
        """Use ``Prepared.open``; ``summary`` is what ``prepare`` returned."""
        self.folder = folder
        self.summary = summary
        self.classes: tuple[str, ...] = tuple(summary["classes"])
        self.dense: bool = summary.get("dense", False)
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
        """Number of images, or of windows."""
        return int(self.summary["splits"][split]["count"])

    def images(self, split: SplitName) -> NDArray[Any]:
        """``uint8[n, H, W, C]``, resized or cut, not yet normalized.

        Volumes, ``[n, D, H, W, C]``, and images with ``normalization: per_image`` are ``float32``.
        """
        return self._array(f"{split}_images")

    def pixels(self, split: SplitName, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[Any]:
        """A copy of the images ``indices``, ``[k, ...]`` as ``images`` has them."""
        chosen: NDArray[Any] = self.images(split)[np.asarray(indices, dtype=np.int64)]
        return chosen

    def labels(self, split: SplitName) -> NDArray[np.int64]:
        """``int64[n]``, 0 to classes - 1.

        Raises:
            TypeError: for a segmentation, whose truth is in ``masks``.
        """
        if self.dense:
            raise TypeError("the data of a segmentation has no labels")
        return self._array(f"{split}_labels")

    def targets(
        self, split: SplitName, indices: Sequence[int] | NDArray[np.integer[Any]] | None = None
    ) -> NDArray[np.int64]:
        """What the network should answer for the images ``indices``, or for all: a copy.

        Labels ``int64[k]``, or masks ``int64[k, *window]`` with ``IGNORE`` where a pixel counts nowhere.
        """
        chosen = slice(None) if indices is None else np.asarray(indices, dtype=np.int64)
        truth = self._array(f"{split}_masks" if self.dense else f"{split}_labels")
        return truth[chosen].astype(np.int64)

    def cases(self, split: SplitName) -> tuple[Case, ...]:
        """The images or volumes of a segmentation's split, in the order of their windows.

        Raises:
            TypeError: for a classification, which has none.
        """
        if not self.dense:
            raise TypeError("the data of a classification has no cases")
        try:
            return cases.load(self.folder / f"{split}_cases.json")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from None

    def groups(self, split: SplitName) -> NDArray[np.int64]:
        """``int64[n]``: images with the same number are of one patient or lesion.

        Each image, or each case with its windows, has a number of its own where the data names no groups. The
        numbers of two splits do not belong together: no group is in two splits.
        """
        return self._array(f"{split}_groups")

    def masks(self, split: SplitName) -> NDArray[np.uint8] | None:
        """``uint8[n, *size]``, 0 for background, or none where a classification's data has no masks.

        For a segmentation the class of each pixel, or ``IGNORE``.
        """
        return self._array(f"{split}_masks") if self.summary["splits"][split]["masks"] else None

    def spread(self, split: SplitName, wanted: int) -> NDArray[np.int64]:
        """Up to ``wanted`` indices, evenly over the split."""
        return arrays.spread(self.count(split), wanted)

    def drawn(self, split: SplitName, wanted: int, seed: int) -> NDArray[np.int64]:
        """Up to ``wanted`` indices drawn uniformly without replacement, in ascending order."""
        count = self.count(split)
        return np.sort(np.random.default_rng(seed).choice(count, min(wanted, count), replace=False))

    def ids(self, split: SplitName) -> tuple[str, ...]:
        """What each image is called in its source; a window by its case and number."""
        return tuple(json.loads((self.folder / f"{split}_ids.json").read_text(encoding="utf-8")))

    def subgroups(self, split: SplitName) -> dict[str, tuple[str, ...]]:
        """The subgroup of each image of a classification, by column of its table; empty where none was named."""
        if self.dense:
            return {}
        found = json.loads((self.folder / f"{split}_subgroups.json").read_text(encoding="utf-8"))
        return {name: tuple(values) for name, values in found.items()}

    def inputs(
        self, split: SplitName, indices: Sequence[int] | NDArray[np.integer[Any]] | None = None
    ) -> NDArray[np.float32]:
        """Normalized inputs ``float32[k, C, *size]`` of the images ``indices``, or of all."""
        chosen = self.images(split) if indices is None else self.pixels(split, indices)
        return preprocess.normalize(chosen, self.preprocessing)

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            try:
                self._arrays[name] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise self._damaged(error) from None
        return self._arrays[name]

    def _damaged(self, error: Exception) -> InputError:
        return InputError(f"prepared data is damaged: {error}", where=str(self.folder), remedy="remove the folder")


def prepare(
    dataset: Dataset,
    spec: Preprocessing,
    folder: Path,
    progress: Callable[[float, str], None],
    dense: bool = False,
) -> dict[str, Any]:
    """Decode and convert every image, and resize it or cut it into windows, into ``folder``.

    Writes ``<split>_images.npy``, ``<split>_groups.npy``, ``<split>_ids.json`` and ``summary.json``; for a
    classification ``<split>_labels.npy``, ``<split>_subgroups.json`` and, where there are masks,
    ``<split>_masks.npy``; for a segmentation ``<split>_masks.npy`` and ``<split>_cases.json``.

    Args:
        dataset: a loaded data set.
        spec: the recipe's ``input``.
        folder: exists and is empty.
        progress: called with the fraction done, 0 to 1, and a short text.
        dense: segmentation.

    Returns:
        The summary, plain data: name, classes, dense, preprocessing, provenance, notes, overlap, and for each
        split count, class_counts, groups, image_sha256 (of all resized pixels and labels, or of all windows and
        their masks), source_size and masks. For a segmentation count is that of windows, and a split has cases
        (count), ignored (pixels), spacing_mm and padded_cases (count) too.

    Raises:
        InputError: an image cannot be decoded, a split is empty, splits share a group, labels or masks are
            missing or do not fit, or ``spec`` asks for windows without ``dense``.
        OSError: the disk is full.
    """
    if spec.fit == "window" and not dense:
        raise InputError(
            "'fit: window' is for segmentation: a classification needs the whole image",
            where="input.fit",
            remedy="remove 'fit', or set 'task.kind: segmentation'",
        )
    check_disjoint(dataset.splits, dataset.name)
    total = sum(split.count for split in dataset.splits.values())
    write = write_cases if dense else write_split
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

        hashes[name], splits[name] = write(dataset, name, split, spec, folder, report)
        done += split.count
    shared = overlap(hashes, {name: split.ids for name, split in dataset.splits.items()})
    found = notes.of_masks(splits, spec) if dense else notes.of_labels(splits, spec)
    summary: dict[str, Any] = {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "dense": dense,
        "preprocessing": spec.model_dump(mode="json"),
        "splits": splits,
        "overlap": {"count": len(shared), "first": [list(pair) for pair in shared[:_SHOWN]]},
        "notes": [*dataset.notes, *found],
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
