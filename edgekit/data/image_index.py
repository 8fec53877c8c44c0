"""Images that a CSV lists: file, label and, where known, split, group and mask of each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgekit.data.assign import assign
from edgekit.data.base import SPLITS, DataConfig, Dataset, Split, SplitName
from edgekit.data.decode import decode, decode_mask
from edgekit.data.file_tree import FileTree, open_tree
from edgekit.data.index_table import Columns, check_columns, fill, read_table
from edgekit.data.splits import Draw, check_disjoint
from edgekit.errors import InputError

_MAX_PROBLEMS = 10


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    label: int
    split: str
    group: str
    mask: str


class ImageIndex(DataConfig):
    """A folder or zip of images and a CSV with a header row, in UTF-8 and separated by commas.

    Without a split column all splits are drawn with a seed, by group where there is a group column; with one,
    ``draw`` takes splits that it does not give from ``train``.
    """

    kind: Literal["index"]
    path: Path
    index: str = Field(default="index.csv", description="the CSV, relative to 'path'")
    columns: Columns
    labels: dict[str, str] = Field(default_factory=dict, description="label -> class, where the names differ")
    split_names: dict[str, SplitName] = Field(
        default_factory=dict, description="value of the split column -> train, val or test, where they differ"
    )
    draw: Draw | None = None

    @model_validator(mode="after")
    def _has_split_column(self) -> ImageIndex:
        if self.split_names and self.columns.split is None:
            raise ValueError("'split_names' needs 'columns.split'; name the column or remove it")
        return self

    def files(self) -> tuple[Path, ...]:
        """The folder or zip, which holds the CSV too."""
        return (self.path,)

    def load(self, classes: tuple[str, ...]) -> Dataset:
        """Read the CSV and assign its images to classes and splits.

        Raises:
            InputError: all bad rows together, each as ``path/index.csv:line``, or splits that share a group.
        """
        tree = open_tree(self.path)
        csv_name = f"{self.path}/{self.index}"
        rows = self._rows(tree, csv_name, classes)
        labels = np.array([row.label for row in rows], dtype=np.int64)
        groups = [row.group for row in rows] if self.columns.group else None
        assigned, notes = assign([row.split for row in rows], labels, groups, self.draw, csv_name)
        splits = {
            name: self._split(
                tree, csv_name, [row for row, split in zip(rows, assigned, strict=True) if split == name]
            )
            for name in SPLITS
        }
        check_disjoint(splits, csv_name)
        if groups is None:
            notes.append("no group column is named: whether two splits share a patient cannot be checked")
        how = "drawn" if self.columns.split is None else "given, completed by drawing" if self.draw else "given"
        provenance = {
            "source": "image index",
            "file": self.path.name,
            "index": self.index,
            "columns": self.columns.model_dump(),
            "splits": how,
        }
        return Dataset(self.path.stem, classes, splits, tuple(notes), provenance)

    def _split(self, tree: FileTree, csv_name: str, rows: list[_Row]) -> Split:
        def image(number: int) -> NDArray[np.uint8]:
            row = rows[number]
            return decode(tree.read(row.file), f"{csv_name}:{row.line}: {row.file}")

        def mask(number: int) -> NDArray[np.uint8]:
            row = rows[number]
            return decode_mask(tree.read(row.mask), f"{csv_name}:{row.line}: {row.mask}")

        return Split(
            count=len(rows),
            image=image,
            labels=np.array([row.label for row in rows], dtype=np.int64),
            ids=tuple(row.file for row in rows),
            groups=tuple(row.group for row in rows) if self.columns.group else None,
            mask=mask if self.columns.mask else None,
        )

    def _rows(self, tree: FileTree, csv_name: str, classes: tuple[str, ...]) -> list[_Row]:
        """The checked rows of the CSV."""
        stray = set(self.labels.values()) - set(classes)
        if stray:
            raise InputError(
                f"'labels' maps to '{min(stray)}', which is no class of the recipe",
                where=csv_name,
                remedy=f"classes: {', '.join(classes)}",
            )
        if not tree.holds(self.index):
            near = difflib.get_close_matches(self.index, [n for n in tree.names() if n.endswith(".csv")], n=1)
            hint = f"did you mean '{near[0]}'?" if near else "name the CSV in 'index'"
            raise InputError("no such file", where=csv_name, remedy=hint)
        table = read_table(tree.read(self.index), csv_name)
        check_columns(self.columns, table, csv_name)
        rows: list[_Row] = []
        problems: list[str] = []
        seen: dict[str, int] = {}
        for line, values in table[1:]:
            cells = dict(zip(table[0][1], values, strict=False))
            try:
                if len(values) != len(table[0][1]):
                    raise InputError(f"{len(values)} cells for {len(table[0][1])} columns", remedy="quote commas")
                row = self._row(tree, line, cells, classes)
                if row.file in seen:
                    raise InputError(f"'{row.file}' is already in line {seen[row.file]}", remedy="keep one of them")
                seen[row.file] = line
                rows.append(row)
            except InputError as error:
                problems.append(f"{csv_name}:{line}: {error}")
        if problems:
            more = len(problems) - _MAX_PROBLEMS
            tail = [f"{csv_name}: {more} more rows are wrong"] if more > 0 else []
            raise InputError("\n".join(problems[:_MAX_PROBLEMS] + tail))
        if not rows:
            raise InputError("the table has no rows", where=csv_name, remedy="list at least one image a split")
        return rows

    def _row(self, tree: FileTree, line: int, cells: dict[str, str], classes: tuple[str, ...]) -> _Row:
        file = fill(self.columns.file, cells)
        mask = fill(self.columns.mask, cells) if self.columns.mask else ""
        for name in (file, mask) if self.columns.mask else (file,):
            if not name or not tree.holds(name):
                raise InputError(f"no such file: '{name}'", remedy="correct the row or 'columns'")
        value = cells[self.columns.label]
        label = self.labels.get(value, value)
        if label not in classes:
            known = list(dict.fromkeys([*self.labels, *classes]))
            near = difflib.get_close_matches(value, known, n=1)
            hint = f", did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"unknown label '{value}'{hint}", remedy=f"allowed: {', '.join(known)}; or use 'labels'"
            )
        split = ""
        if self.columns.split:
            value = cells[self.columns.split]
            split = self.split_names.get(value, value)
            if split not in SPLITS:
                raise InputError(
                    f"unknown split '{value}'", remedy="allowed: train, val, test; or use 'split_names'"
                )
        group = cells[self.columns.group] if self.columns.group else ""
        if self.columns.group and not group:
            raise InputError(f"the group '{self.columns.group}' is empty", remedy="name the patient or lesion")
        return _Row(line, file, classes.index(label), split, group, mask)
