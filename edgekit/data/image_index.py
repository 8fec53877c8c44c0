"""Images that a CSV lists: file, label and, where known, split, group and mask of each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgekit.data import case_files
from edgekit.data.assign import assign
from edgekit.data.base import SPLITS, DataConfig, Dataset, Split, SplitName
from edgekit.data.case_files import CaseFile
from edgekit.data.decode import decode, decode_mask
from edgekit.data.file_tree import FileTree, open_tree
from edgekit.data.index_table import Columns, check_columns, check_subgroups, fill, read_table
from edgekit.data.mask_values import check_values
from edgekit.data.splits import Draw, check_disjoint
from edgekit.data.subgroups import grouped
from edgekit.errors import InputError

_MAX_PROBLEMS = 10


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    label: str
    split: str
    group: str
    mask: str
    subgroups: tuple[str, ...]


class ImageIndex(DataConfig):
    """A folder or zip of images and a CSV with a header row, in UTF-8 and separated by commas.

    Without a split column all splits are drawn with a seed, by group where there is a group column; with one,
    ``draw`` takes splits that it does not give from ``train``. For a segmentation, files may be NIfTI volumes.
    """

    kind: Literal["index"]
    path: Path
    index: str = Field(default="index.csv", description="the CSV, relative to 'path'")
    columns: Columns
    labels: dict[str, str] = Field(default_factory=dict, description="label -> class, where the names differ")
    split_names: dict[str, SplitName] = Field(
        default_factory=dict, description="value of the split column -> train, val or test, where they differ"
    )
    values: dict[int, str] = Field(
        default_factory=dict,
        description="for a segmentation: value in the masks -> class, or 'ignore' for pixels that count nowhere; "
        "not needed where values are the indices of the classes, or 0 and 255 for two classes",
    )
    subgroups: tuple[str, ...] = Field(
        default=(),
        description="columns by which changed predictions are counted, such as age, sex and site; many numbers are "
        "put into four ranges; classification only. Each image's values go into the record",
    )
    draw: Draw | None = None

    @model_validator(mode="after")
    def _has_columns(self) -> ImageIndex:
        for key, column in (("split_names", "split"), ("labels", "label"), ("values", "mask")):
            if getattr(self, key) and getattr(self.columns, column) is None:
                raise ValueError(f"'{key}' needs 'columns.{column}'; name the column or remove it")
        return self

    def files(self) -> tuple[Path, ...]:
        """The folder or zip, which holds the CSV too."""
        return (self.path,)

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """Read the CSV and assign its images to classes and splits.

        Raises:
            InputError: all bad rows together, each as ``path/index.csv:line``, splits that share a group, or a
                segmentation without a column of masks.
        """
        tree = open_tree(self.path)
        csv_name = f"{self.path}/{self.index}"
        dense = dense or self.columns.label is None
        rows = self._rows(tree, csv_name, classes, dense)
        labels = _numbers(rows, None if dense else classes) if self.columns.label else None
        groups = [row.group for row in rows] if self.columns.group else None
        files = [CaseFile(row.file, row.mask, "", row.group, f"{csv_name}:{row.line}: ") for row in rows if dense]
        spacings, notes = case_files.geometry(tree, files)
        cells = zip(*(row.subgroups for row in rows), strict=True)
        subgroups = {
            name: grouped(name, list(column), csv_name) for name, column in zip(self.subgroups, cells, strict=True)
        }
        assigned, drawn = assign([row.split for row in rows], labels, groups, self.draw, csv_name)
        splits: dict[SplitName, Split] = {}
        for name in SPLITS:
            chosen = [number for number, split in enumerate(assigned) if split == name]
            if dense:
                splits[name] = case_files.split_of(
                    tree,
                    [files[n] for n in chosen],
                    [spacings[n] for n in chosen],
                    self.values,
                    classes,
                    groups is not None,
                )
            else:
                own = {column: tuple(values[n] for n in chosen) for column, values in subgroups.items()}
                splits[name] = self._split(tree, csv_name, [rows[n] for n in chosen], classes, own)
        check_disjoint(splits, csv_name)
        notes += drawn
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
        if self.values:
            provenance["values"] = {str(value): name for value, name in self.values.items()}
        return Dataset(self.path.stem, classes, splits, tuple(notes), provenance)

    def _split(
        self,
        tree: FileTree,
        csv_name: str,
        rows: list[_Row],
        classes: tuple[str, ...],
        subgroups: dict[str, tuple[str, ...]],
    ) -> Split:
        def image(number: int) -> NDArray[np.uint8]:
            row = rows[number]
            return decode(tree.read(row.file), f"{csv_name}:{row.line}: {row.file}")

        def mask(number: int) -> NDArray[np.uint8]:
            row = rows[number]
            return decode_mask(tree.read(row.mask), f"{csv_name}:{row.line}: {row.mask}")

        return Split(
            count=len(rows),
            image=image,
            labels=_numbers(rows, classes),
            ids=tuple(row.file for row in rows),
            groups=tuple(row.group for row in rows) if self.columns.group else None,
            mask=mask if self.columns.mask else None,
            subgroups=subgroups,
        )

    def _rows(self, tree: FileTree, csv_name: str, classes: tuple[str, ...], dense: bool) -> list[_Row]:
        """The checked rows of the CSV."""
        if dense and self.columns.mask is None:
            raise InputError(
                "a segmentation needs a mask of each image",
                where=csv_name,
                remedy="name the column of the masks, or a pattern, in 'columns.mask'",
            )
        if dense and self.subgroups:
            raise InputError("'subgroups' is for a classification", where=csv_name, remedy="remove it")
        if dense:
            check_values(self.values, classes, csv_name)
        elif self.values:
            raise InputError("'values' is for a segmentation", where=csv_name, remedy="remove it")
        stray = set(self.labels.values()) - set(classes)
        if stray and not dense:
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
        check_subgroups(self.subgroups, table, csv_name)
        rows: list[_Row] = []
        problems: list[str] = []
        seen: dict[str, int] = {}
        for line, values in table[1:]:
            cells = dict(zip(table[0][1], values, strict=False))
            try:
                if len(values) != len(table[0][1]):
                    raise InputError(f"{len(values)} cells for {len(table[0][1])} columns", remedy="quote commas")
                row = self._row(tree, line, cells, None if dense else classes)
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

    def _row(self, tree: FileTree, line: int, cells: dict[str, str], classes: tuple[str, ...] | None) -> _Row:
        """A checked row; without ``classes`` its label may be any."""
        file = fill(self.columns.file, cells)
        mask = fill(self.columns.mask, cells) if self.columns.mask else ""
        for name in (file, mask) if self.columns.mask else (file,):
            if not name or not tree.holds(name):
                raise InputError(f"no such file: '{name}'", remedy="correct the row or 'columns'")
        value = cells[self.columns.label] if self.columns.label else ""
        label = self.labels.get(value, value)
        if classes is not None and label not in classes:
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
        return _Row(line, file, label, split, group, mask, tuple(cells[name] for name in self.subgroups))


def _numbers(rows: list[_Row], classes: tuple[str, ...] | None) -> NDArray[np.int64]:
    """``int64[n]``: the index of each row's class, or without ``classes`` of its label among all labels."""
    known = classes or sorted({row.label for row in rows})
    return np.array([known.index(row.label) for row in rows], dtype=np.int64)
