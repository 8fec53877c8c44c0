"""MedMNIST-format npz files: ``{train,val,test}_images`` and ``_labels`` in one archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.data import splits as splitting
from edgekit.data.base import SPLITS, DataConfig, Dataset, Split, SplitName
from edgekit.errors import InputError

_GROUPS = ("groups", "source")
_FETCH = "fetch or write the file again"


class Npz(DataConfig):
    """An npz file with the arrays of the MedMNIST format.

    For each split ``uint8[n, H, W]`` or ``uint8[n, H, W, 3]`` images and ``int[n]`` or ``int[n, 1]`` labels;
    optionally ``<split>_groups`` or ``<split>_source`` (patient, lesion or image that each was cut from) and
    ``classes``, the names in the order of the labels.
    """

    kind: Literal["npz"]
    path: Path

    def files(self) -> tuple[Path, ...]:
        """The npz file."""
        return (self.path,)

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """Read and check the file.

        Raises:
            InputError: naming the file, the array and, for a label, the row.
        """
        return load_npz(self.path, classes)


def load_npz(path: Path, classes: tuple[str, ...]) -> Dataset:
    """As ``Npz.load``; the data set is called after the file.

    Raises:
        InputError: naming the file, the array and, for a label, the row.
    """
    arrays = read_arrays(path)
    needed = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    absent = [name for name in needed if name not in arrays]
    if absent:
        raise InputError(
            f"the arrays {', '.join(absent)} are missing; the file holds {', '.join(arrays) or 'none'}",
            where=str(path),
            remedy="MedMNIST's format has images and labels for train, val and test",
        )
    if "classes" in arrays:
        _check_classes(arrays["classes"], classes, path)
    suffix = _group_suffix(arrays, path)
    splits: dict[SplitName, Split] = {}
    for name in SPLITS:
        images = _images(arrays[f"{name}_images"], f"{name}_images", path)
        labels = _labels(arrays[f"{name}_labels"], f"{name}_labels", len(images), classes, path)
        groups = (
            None if suffix is None else _group_ids(arrays[f"{name}_{suffix}"], f"{name}_{suffix}", images, path)
        )
        splits[name] = Split(
            count=len(images),
            image=images.__getitem__,
            labels=labels,
            ids=tuple(f"{name}[{index}]" for index in range(len(images))),
            groups=groups,
        )
    splitting.check_disjoint(splits, str(path))
    notes = () if suffix else ("the file names no patients or lesions: whether splits share any cannot be checked",)
    provenance = {"source": "npz", "file": path.name, "groups": suffix}
    return Dataset(path.stem, classes, splits, notes, provenance)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of the file; the checksums of the zip are compared on the way.

    Raises:
        InputError: naming the file, and the array that is damaged, pickled or no array.
    """
    arrays: dict[str, NDArray[Any]] = {}
    name = ""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as handle:
                start = handle.read(6)
            cut = start.startswith(b"PK")
            problem = "a truncated npz: the index at its end is missing" if cut else "not an npz file"
            raise InputError(problem, where=str(path), remedy=_FETCH)
        with np.load(path, allow_pickle=False) as opened:
            for name in opened.files:
                arrays[name] = opened[name]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        place = f"the array '{name}' is damaged" if name else "a damaged npz"
        raise InputError(f"{place}: {error}", where=str(path), remedy=_FETCH) from None
    except ValueError as error:
        if name and "pickle" in str(error):
            raise InputError(
                f"the array '{name}' holds pickled Python objects, which are never loaded",
                where=str(path),
                remedy="store it as a plain numeric or text array",
            ) from None
        problem = f"the array '{name}' cannot be read: {error}" if name else "not an npz file"
        raise InputError(problem, where=str(path), remedy=_FETCH) from None
    except MemoryError:
        raise InputError(f"the array '{name}' does not fit into memory", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    foreign = [key for key, value in arrays.items() if not isinstance(value, np.ndarray)]
    if foreign:
        raise InputError(
            f"the member '{foreign[0]}' is no array", where=str(path), remedy="remove it from the file"
        )
    return arrays


def _images(images: NDArray[Any], name: str, path: Path) -> NDArray[np.uint8]:
    if images.dtype != np.uint8:
        raise InputError(f"{name} is {images.dtype}, not uint8", where=str(path), remedy="convert it to 8 bits")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise InputError(
            f"{name} has the shape {list(images.shape)}", where=str(path), remedy="give [n, H, W] or [n, H, W, 3]"
        )
    if images.size == 0:
        raise InputError(
            f"{name} is empty (shape {list(images.shape)})", where=str(path), remedy="every split needs images"
        )
    return images


def _labels(labels: NDArray[Any], name: str, count: int, classes: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{name} is {labels.dtype}, not integers", where=str(path), remedy="number the classes from 0"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"{name} has {labels.shape[1]} labels for each image; edgekit classifies into one class",
            where=str(path),
            remedy="choose a single-label task",
        )
    if labels.ndim not in (1, 2):
        raise InputError(f"{name} has the shape {list(labels.shape)}", where=str(path), remedy="give [n] or [n, 1]")
    if len(labels) != count:
        raise InputError(
            f"{name} has {len(labels)} rows for {count} images", where=str(path), remedy="make them equal"
        )
    flat = labels.reshape(-1)
    wrong = np.flatnonzero((flat < 0) | (flat >= len(classes)))
    if len(wrong):
        raise InputError(
            f"{name}[{wrong[0]}] is {flat[wrong[0]]}, but the recipe names {len(classes)} classes "
            f"(labels 0 to {len(classes) - 1}); {len(wrong)} rows in all",
            where=str(path),
            remedy="name every class in 'task.classes', or correct the labels",
        )
    return flat.astype(np.int64)


def _check_classes(found: NDArray[Any], classes: tuple[str, ...], path: Path) -> None:
    names = tuple(str(name) for name in found.reshape(-1))
    if names != classes:
        raise InputError(
            f"the file's classes are [{', '.join(names)}], the recipe's [{', '.join(classes)}]",
            where=str(path),
            remedy="name the same classes in the same order in 'task.classes'",
        )


def _group_suffix(arrays: Mapping[str, NDArray[Any]], path: Path) -> str | None:
    """Which of the two names the file uses for its group arrays."""
    for suffix in _GROUPS:
        present = [split for split in SPLITS if f"{split}_{suffix}" in arrays]
        if len(present) == len(SPLITS):
            return suffix
        if present:
            absent = next(split for split in SPLITS if split not in present)
            raise InputError(
                f"{present[0]}_{suffix} is there, {absent}_{suffix} is missing",
                where=str(path),
                remedy="name the groups of every split or of none",
            )
    return None


def _group_ids(groups: NDArray[Any], name: str, images: NDArray[np.uint8], path: Path) -> tuple[str, ...]:
    if groups.dtype.kind not in "iuUS":
        raise InputError(f"{name} is {groups.dtype}", where=str(path), remedy="give texts or integers")
    flat = groups.reshape(-1)
    if len(flat) != len(images):
        raise InputError(f"{name} has {len(flat)} rows for {len(images)} images", where=str(path))
    return tuple(one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in flat.tolist())
