"""MedMNIST data sets by name: https://medmnist.com, Yang et al. 2023, Scientific Data 10:41."""

from __future__ import annotations

import difflib
import hashlib
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from edgekit import store
from edgekit.data.base import DataConfig, Dataset
from edgekit.data.npz import load_npz
from edgekit.errors import InputError, MissingError, missing_package

#: The two-dimensional data sets with one label for each image.
NAMES = (
    "pathmnist",
    "dermamnist",
    "octmnist",
    "pneumoniamnist",
    "retinamnist",
    "breastmnist",
    "bloodmnist",
    "tissuemnist",
    "organamnist",
    "organcmnist",
    "organsmnist",
)
_BLOCK = 1 << 20


class MedMnist(DataConfig):
    """A data set of the ``medmnist`` package, which knows where it lies, its checksum and its licence.

    A file that an earlier download left in ``root`` is used as it is. edgekit opens the network only with
    ``download: true``.
    """

    kind: Literal["medmnist"]
    name: str = Field(json_schema_extra={"enum": list(NAMES)})
    size: Literal[28, 64, 128, 224] = 28
    download: bool = Field(default=False, description="fetch the file where it is not in 'root'")
    root: Path = Field(default=Path("~/.medmnist"), description="folder of the downloaded files")

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "chestmnist":
            raise ValueError("'chestmnist' has several labels for each image; edgekit classifies into one class")
        if value.endswith("3d"):
            raise ValueError(f"'{value}' holds volumes; edgekit takes the two-dimensional data sets")
        if value not in NAMES:
            near = difflib.get_close_matches(value, NAMES, n=3, cutoff=0.4)
            hint = f", did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
            raise ValueError(f"unknown data set '{value}'{hint} Allowed: {', '.join(NAMES)}")
        return value

    @property
    def file(self) -> Path:
        """Where the package keeps the npz."""
        suffix = "" if self.size == 28 else f"_{self.size}"
        return self.root.expanduser() / f"{self.name}{suffix}.npz"

    def files(self) -> tuple[Path, ...]:
        """The npz, once it is there."""
        return (self.file,) if self.file.exists() else ()

    def fetch(self) -> None:
        """Download the npz where it is missing and the recipe allows it.

        Raises:
            MissingError: it is missing and may not, or cannot, be downloaded.
            DeviceError: the disk is full.
        """
        if self.file.exists():
            return
        if not self.download:
            raise MissingError(
                f"{self.name} at {self.size} pixels is not there: no file {self.file}",
                remedy="say 'download: true' in the recipe, or put the file there",
            )
        info = _info(self.name)
        suffix = "" if self.size == 28 else f"_{self.size}"
        _download(info[f"url{suffix}"], info[f"MD5{suffix}"], self.file)

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """Read the data set, downloading it first where that is allowed.

        Raises:
            InputError: another number or order of classes than the data set's, or a damaged file.
            MissingError: no file, or no ``medmnist`` package.
        """
        self.fetch()
        info = _info(self.name)
        labels = [str(info["label"][str(index)]) for index in range(len(info["label"]))]
        swapped = sorted(labels) == sorted(classes) and labels != list(classes)
        if len(labels) != len(classes) or swapped:
            raise InputError(
                f"the recipe names the classes [{', '.join(classes)}], {self.name} has [{', '.join(labels)}]",
                where=str(self.file),
                remedy="name its classes in its order in 'task.classes'",
            )
        dataset = load_npz(self.file, classes)
        provenance = {"source": "medmnist", "file": self.file.name, "labels": labels, "license": info["license"]}
        return replace(dataset, name=self.name, provenance=provenance)


def _info(name: str) -> dict[str, Any]:
    """What the ``medmnist`` package knows of a data set."""
    try:
        from medmnist import INFO
    except ImportError as error:
        raise missing_package(error.name or "medmnist", "data") from None
    found: dict[str, Any] = INFO[name]
    return found


def _download(url: str, md5: str, file: Path) -> None:
    """Fetch ``url`` into ``file``, which appears only when it is whole and has the checksum of the package."""
    # The package's own download needs torchvision's compiled library and hides why it failed.
    remedy = f"download {url} yourself and save it as {file}"
    with store.atomic(file) as temporary:
        checksum = hashlib.md5(usedforsecurity=False)
        try:
            with urllib.request.urlopen(url, timeout=30) as reply, temporary.open("wb") as handle:
                while block := reply.read(_BLOCK):
                    checksum.update(block)
                    handle.write(block)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, OSError):
                reason = reason.strerror or reason
            raise MissingError(f"{file.name} could not be downloaded: {reason}", remedy=remedy) from None
        if checksum.hexdigest() != md5:
            raise MissingError(f"{file.name} arrived with a wrong checksum", remedy=remedy)
