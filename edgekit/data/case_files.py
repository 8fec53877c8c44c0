"""Files of segmentation cases: an image or volume, its mask and, where there is one, its field of view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.data import nifti
from edgekit.data.base import Split
from edgekit.data.decode import decode, decode_labels
from edgekit.data.file_tree import FileTree
from edgekit.data.geometry import Geometry, check_same_place
from edgekit.data.mask_values import to_classes
from edgekit.errors import InputError

_MAX_PROBLEMS = 10
Spacing = tuple[float, ...] | None


class CaseFile(NamedTuple):
    """The files of one case, by their names in a tree; ``valid`` is "" where there is no field of view."""

    image: str
    mask: str
    valid: str
    group: str
    where: str  # prefix for errors, such as the path of the tree

    def place(self, name: str) -> str:
        """What an error about one of its files says."""
        return f"{self.where}{name}"


def geometry(tree: FileTree, files: Sequence[CaseFile]) -> tuple[list[Spacing], list[str]]:
    """Check the headers of all volumes, and that masks lie where their images do.

    Returns:
        The spacing of each case, none for images, and notes.

    Raises:
        InputError: all problems together, ten at most.
        MissingError: there are volumes and nibabel is not installed.
    """
    spacings: list[Spacing] = []
    problems: list[str] = []
    unstated = 0
    for one in files:
        spacing: Spacing = None
        try:
            volume = _is_volume(one.image)
            for name in filter(None, (one.mask, one.valid)):
                if _is_volume(name) != volume:
                    raise InputError(
                        _kinds(name, one.image),
                        where=one.place(name),
                        remedy="give both as volumes, or both as images",
                    )
            if volume:
                image = _geometry(tree, one, one.image)
                for what, name in (("mask", one.mask), ("field of view", one.valid)):
                    if name:
                        check_same_place(image, _geometry(tree, one, name), what, one.place(name))
                spacing = image.spacing
                unstated += not image.unit_stated
        except InputError as error:
            problems.append(str(error))
        spacings.append(spacing)
    refuse(problems)
    notes = [f"{unstated} volumes do not state the unit of their spacing: taken as mm"] if unstated else []
    return spacings, notes


def split_of(
    tree: FileTree,
    files: Sequence[CaseFile],
    spacings: Sequence[Spacing],
    values: Mapping[int, str],
    classes: Sequence[str],
    grouped: bool,
) -> Split:
    """The cases as a split whose files are read when they are asked for.

    Args:
        tree: holds the files.
        files: of the cases.
        spacings: of the cases.
        values: as ``to_classes`` takes them.
        classes: the recipe's.
        grouped: whether the cases' groups are known.
    """

    def image(number: int) -> NDArray[Any]:
        one = files[number]
        return _image(tree.read(one.image), one.image, one.place(one.image))

    def mask(number: int) -> NDArray[np.uint8]:
        one = files[number]
        raw = _labels(tree.read(one.mask), one.mask, one.place(one.mask))
        return to_classes(raw, values, classes, one.place(one.mask))

    def valid(number: int) -> NDArray[np.bool_]:
        one = files[number]
        found: NDArray[np.bool_] = _labels(tree.read(one.valid), one.valid, one.place(one.valid)) != 0
        return found

    return Split(
        count=len(files),
        image=image,
        labels=None,
        ids=tuple(one.image for one in files),
        groups=tuple(one.group for one in files) if grouped else None,
        mask=mask,
        spacings=tuple(spacings),
        valid=valid if any(one.valid for one in files) else None,
    )


def refuse(problems: Sequence[str]) -> None:
    """Raise what was found, if anything, the first ten of it."""
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        raise InputError(
            "\n".join([*problems[:_MAX_PROBLEMS], *([f"and {more} more such errors"] if more > 0 else [])])
        )


def _is_volume(name: str) -> bool:
    return name.lower().endswith(nifti.SUFFIXES)


def _kinds(name: str, image: str) -> str:
    volume, plain = (name, image) if _is_volume(name) else (image, name)
    return f"{volume} is a NIfTI volume, {plain} is not"


def _geometry(tree: FileTree, one: CaseFile, name: str) -> Geometry:
    return nifti.read_geometry(tree.head(name, nifti.HEAD_BYTES), one.place(name))


def _image(content: bytes, name: str, where: str) -> NDArray[Any]:
    """``uint8[H, W]`` or ``uint8[H, W, 3]``, or a volume ``float32[D, H, W]``."""
    if not _is_volume(name):
        return decode(content, where)
    with np.errstate(over="ignore"):
        volume = nifti.read_volume(content, where).astype(np.float32)
    wrong = volume.size - int(np.isfinite(volume).sum())
    if wrong:
        raise InputError(
            f"{wrong} voxels are no finite numbers",
            where=where,
            remedy="replace them by the value of air or tissue",
        )
    return volume


def _labels(content: bytes, name: str, where: str) -> NDArray[Any]:
    return nifti.read_volume(content, where) if _is_volume(name) else decode_labels(content, where)
