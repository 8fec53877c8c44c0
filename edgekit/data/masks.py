"""Images or volumes with a mask file each, matched by patterns: the data of a segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edgekit.data import case_files, patterns
from edgekit.data.assign import assign
from edgekit.data.base import SPLITS, DataConfig, Dataset, SplitName
from edgekit.data.case_files import CaseFile
from edgekit.data.file_tree import FileTree, open_tree
from edgekit.data.mask_values import check_values
from edgekit.data.splits import Draw, check_disjoint
from edgekit.errors import InputError


class Masks(DataConfig):
    """A folder or zip with images and masks: PNG, JPEG, TIFF or BMP, or NIfTI volumes (``.nii``, ``.nii.gz``).

    In the patterns ``{id}`` stands for what tells cases apart, ``{split}`` for the split and ``{group}`` for the
    patient, each without ``/``. Without ``{split}`` the splits are drawn by case, or by group, with a seed.
    """

    kind: Literal["masks"]
    path: Path
    images: str = Field(description="pattern of the images, relative to 'path', such as images/{id}.png")
    masks: str = Field(description="pattern of the masks, with the fields of 'images', such as masks/{id}.png")
    valid: str | None = Field(
        default=None,
        description="pattern of fields of view: images, 0 where pixels count nowhere; given for all or none",
    )
    values: dict[int, str] = Field(
        default_factory=dict,
        description="value in the masks -> class, or 'ignore' for pixels that count nowhere; not needed where "
        "values are the indices of the classes, or 0 and 255 for two classes",
    )
    split_names: dict[str, SplitName] = Field(
        default_factory=dict, description="text in place of {split} -> train, val or test, where they differ"
    )
    draw: Draw | None = None

    @model_validator(mode="after")
    def _patterns_fit(self) -> Masks:
        known = patterns.fields(self.images)
        for name, pattern in (("masks", self.masks), ("valid", self.valid)):
            if pattern is None:
                continue
            if pattern == self.images:
                raise ValueError(f"'{name}' and 'images' are the same pattern")
            more = patterns.fields(pattern) - known
            if more:
                raise ValueError(f"'{name}' has the field '{{{min(more)}}}', which 'images' lacks")
        if self.split_names and "split" not in known:
            raise ValueError("'split_names' needs the field '{split}' in 'images'; add it or remove 'split_names'")
        return self

    def files(self) -> tuple[Path, ...]:
        """The folder or zip."""
        return (self.path,)

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """Match the files and check the headers of volumes; pixels are read when they are asked for.

        Raises:
            InputError: images without masks or the reverse, an unknown split, or volumes that do not fit; problems
                of one kind are reported together.
            MissingError: there are volumes and nibabel is not installed.
        """
        tree = open_tree(self.path)
        check_values(self.values, classes, str(self.path))
        files, given = self._match(tree)
        spacings, notes = case_files.geometry(tree, files)
        grouped = "group" in patterns.fields(self.images)
        groups = [one.group for one in files] if grouped else None
        assigned, how = assign(given, None, groups, self.draw, str(self.path))
        splits = {}
        for name in SPLITS:
            chosen = [number for number, split in enumerate(assigned) if split == name]
            splits[name] = case_files.split_of(
                tree, [files[n] for n in chosen], [spacings[n] for n in chosen], self.values, classes, grouped
            )
        check_disjoint(splits, str(self.path))
        notes += how
        if not grouped:
            notes.append("no pattern has a {group}: whether two splits share a patient cannot be checked")
        provenance = {
            "source": "images and masks",
            "file": self.path.name,
            "patterns": {"images": self.images, "masks": self.masks, "valid": self.valid},
            "values": {str(value): name for value, name in self.values.items()},
            "splits": "drawn" if not any(given) else "given, completed by drawing" if self.draw else "given",
        }
        return Dataset(self.path.stem, classes, splits, tuple(notes), provenance)

    def _match(self, tree: FileTree) -> tuple[list[CaseFile], list[str]]:
        """The files of each case, in the order of the images' names, and the split that each name gives."""
        wanted = {name: pattern for name in ("images", "masks", "valid") if (pattern := getattr(self, name))}
        # A name may fit two patterns, as 'a_mask.png' fits '{id}.png': it belongs to the more specific one.
        order = sorted(wanted, key=lambda name: -patterns.literal(wanted[name]))
        compiled = {name: patterns.matcher(wanted[name]) for name in order}
        found: dict[str, dict[str, dict[str, str]]] = {name: {} for name in wanted}
        names = tree.names()
        for name in names:
            for kind in order:
                match = compiled[kind].fullmatch(name)
                if match:
                    found[kind][name] = match.groupdict()
                    break
        if not found["images"]:
            shown = ", ".join(names[:3]) or "nothing"
            raise InputError(
                f"no file fits 'images: {self.images}'", where=str(self.path), remedy=f"there is: {shown}, ..."
            )
        problems: list[str] = []
        used: set[str] = set()
        files: list[CaseFile] = []
        given: list[str] = []
        for image, values in found["images"].items():
            others = {kind: patterns.fill(wanted[kind], values) for kind in wanted if kind != "images"}
            for kind, other in others.items():
                if other not in found[kind]:
                    what = "mask" if kind == "masks" else "field of view"
                    problems.append(f"{self.path}/{image}: an image without {what}: there is no {other}")
                elif other in used:
                    problems.append(f"{self.path}/{other}: belongs to several images, such as {image}")
                used.add(other)
            split = self.split_names.get(values.get("split", ""), values.get("split", ""))
            if "split" in values and split not in SPLITS:
                allowed = f"allowed: {', '.join(SPLITS)}; or use 'split_names'"
                problems.append(f"{self.path}/{image}: unknown split '{split}' ({allowed})")
            given.append(split)
            files.append(
                CaseFile(image, others["masks"], others.get("valid", ""), values.get("group", ""), f"{self.path}/")
            )
        for kind in ("masks", "valid"):
            what = "mask" if kind == "masks" else "field of view"
            for other in found.get(kind, {}):
                if other not in used:
                    problems.append(f"{self.path}/{other}: a {what} without image (remove it, or add its image)")
        case_files.refuse(problems)
        return files, given
