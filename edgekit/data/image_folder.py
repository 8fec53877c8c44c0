"""A folder, or a zip, with one folder of images for each class."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekit.data.assign import assign
from edgekit.data.base import SPLITS, DataConfig, Dataset, Split, SplitName
from edgekit.data.decode import SUFFIXES, decode
from edgekit.data.file_tree import FileTree, open_tree
from edgekit.data.splits import Draw
from edgekit.errors import InputError

Row = tuple[str, str, str]  # name of the file, split ("" where none is given), folder of the class


class ImageFolder(DataConfig):
    """``path/<class>/*``, split with a seed, or ``path/{train,val,test}/<class>/*``; ``path`` may be a zip.

    ``draw`` says how splits that the folders do not give are drawn: all three, or those that are missing beside
    ``train``, which they are then taken from.
    """

    kind: Literal["folder"]
    path: Path
    labels: dict[str, str] = Field(default_factory=dict, description="folder -> class, where the names differ")
    draw: Draw | None = None

    def files(self) -> tuple[Path, ...]:
        """The folder or zip."""
        return (self.path,)

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """List the images and assign them to classes and splits.

        Raises:
            InputError: no images, an unknown class folder, or a split that is neither given nor drawn.
        """
        tree = open_tree(self.path)
        rows, notes = self._list(tree, classes)
        index = {name: number for number, name in enumerate(classes)}
        labels = np.array([index[self.labels.get(row[2], row[2])] for row in rows], dtype=np.int64)
        given = [row[1] for row in rows]
        assigned, how = assign(given, labels, None, self.draw, str(self.path))
        splits: dict[SplitName, Split] = {}
        for name in SPLITS:
            chosen = [number for number, split in enumerate(assigned) if split == name]
            names = tuple(rows[number][0] for number in chosen)

            def image(number: int, names: tuple[str, ...] = names) -> NDArray[np.uint8]:
                return decode(tree.read(names[number]), f"{self.path}/{names[number]}")

            splits[name] = Split(len(chosen), image, labels[chosen], names)
        notes += how
        notes.append("folders name no patients: whether two splits share one cannot be checked")
        provenance = {
            "source": "image folder",
            "file": self.path.name,
            "splits": "given" if any(given) else "drawn",
        }
        return Dataset(self.path.stem, classes, splits, tuple(notes), provenance)

    def _list(self, tree: FileTree, classes: tuple[str, ...]) -> tuple[list[Row], list[str]]:
        """Every image with its split and class folder, and notes on what was left out."""
        stray = set(self.labels.values()) - set(classes)
        if stray:
            raise InputError(
                f"'labels' maps to '{min(stray)}', which is no class of the recipe",
                where=str(self.path),
                remedy=f"classes: {', '.join(classes)}",
            )
        known = {*classes, *self.labels}
        names = tree.names()
        pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
        others = [name for name in names if not name.lower().endswith(SUFFIXES)]
        notes = (
            [f"files left out because they are no images: {len(others)}, such as {_few(others)}"] if others else []
        )
        root = _root(pictures, {*known, *SPLITS})
        split_layout = bool({PurePosixPath(name).parts[root] for name in pictures} & set(SPLITS) - known)
        rows: list[Row] = []
        problems: dict[str, str] = {}
        for name in pictures:
            parts = PurePosixPath(name).parts[root:-1]
            wanted = 2 if split_layout else 1
            folder = parts[-1] if parts else ""
            if len(parts) != wanted:
                layout = "<split>/<class>/<image>" if split_layout else "<class>/<image>"
                problems.setdefault(
                    "depth", f"{self.path}/{name}: is not placed as {layout}; an index CSV can list it"
                )
            elif split_layout and parts[0] not in SPLITS:
                problems.setdefault(parts[0], _unknown(self.path, "split", parts[0], SPLITS))
            elif folder not in known:
                problems.setdefault(folder, _unknown(self.path, "class", folder, sorted(known)))
            else:
                rows.append((name, parts[0] if split_layout else "", folder))
        if problems:
            raise InputError("\n".join(problems.values()))
        if not rows:
            raise InputError(
                "no images in it", where=str(self.path), remedy=f"put them in folders: {', '.join(sorted(known))}"
            )
        return rows, notes


def _root(names: list[str], known: set[str]) -> int:
    """1 where all images lie in one outer folder that is neither a class nor a split, as zips often have it."""
    tops = {PurePosixPath(name).parts[0] for name in names}
    deep = all(len(PurePosixPath(name).parts) > 2 for name in names)
    return 1 if len(tops) == 1 and deep and not tops & known else 0


def _unknown(path: Path, what: str, value: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(allowed), n=1)
    hint = f", did you mean '{near[0]}'?" if near else ""
    return f"{path}: the folder '{value}' is no {what} of the recipe{hint} (known: {', '.join(allowed)})"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
