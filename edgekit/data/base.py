"""What a data set is to the rest of edgekit: splits of images, and how an image becomes an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgekit.schema import Frozen

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
#: In masks: pixels that count nowhere (padding, outside of the field of view, not annotated).
IGNORE = 255


class Preprocessing(Frozen):
    """How an image or a volume becomes the network's input. Stored with every artifact.

    The steps, in this order: grayscale or colour conversion to ``channels``; resize of the whole image to
    ``size``, or windows of ``size``; then, per channel, either division by ``scale``, subtraction of ``mean`` and
    division by ``std``, or the image's own mean and standard deviation.
    """

    size: tuple[int, ...] = Field(
        description="height and width in pixels; for volumes three numbers: the sides of a window in voxels, in "
        "the order of the array's axes"
    )
    channels: Literal[1, 3] = 3
    fit: Literal["resize", "window"] = Field(
        default="resize",
        description="resize: the whole image is resized to 'size'; window (segmentation only): images keep their "
        "pixels and are covered by windows of 'size', padded where they are smaller; volumes need window",
    )
    overlap: float = Field(
        default=0.5,
        ge=0,
        le=0.9,
        description="with 'fit: window', the share of a window's side that neighbours have in common, at least",
    )
    resize: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    normalization: Literal["fixed", "per_image"] = Field(
        default="fixed",
        description="fixed: 'scale', 'mean' and 'std'; per_image: each image or volume minus its mean, divided by "
        "its standard deviation, channel by channel ('scale', 'mean' and 'std' are then 1, 0 and 1)",
    )
    scale: float = Field(default=255.0, gt=0)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @model_validator(mode="before")
    @classmethod
    def _neutral(cls, values: Any) -> Any:
        """With ``per_image`` the fixed figures are neutral, so that ``normalize`` is right for both."""
        if not isinstance(values, dict) or values.get("normalization") != "per_image":
            return values
        channels = 1 if values.get("channels") == 1 else 3
        neutral = {"scale": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
        for name, value in neutral.items():
            given = values.get(name, value)
            if (tuple(given) if isinstance(given, list) else given) != value:
                raise ValueError(f"'{name}' has no effect with 'normalization: per_image'; remove one of them")
        return values | neutral

    @model_validator(mode="after")
    def _fits(self) -> Preprocessing:
        if len(self.size) not in (2, 3):
            raise ValueError(f"'size' needs 2 numbers, or 3 for volumes (got {list(self.size)})")
        volume = len(self.size) == 3
        most = 512 if volume else 4096
        if min(self.size) < 8 or max(self.size) > most:
            raise ValueError(f"'size' must be 8 to {most} pixels a side (got {list(self.size)})")
        if volume and self.fit != "window":
            raise ValueError("volumes are not resized: three numbers in 'size' need 'fit: window'")
        if volume and self.channels != 1:
            raise ValueError("a volume has one channel: three numbers in 'size' need 'channels: 1'")
        if self.fit != "window" and self.overlap != 0.5:
            raise ValueError("'overlap' has no effect without 'fit: window'; remove it")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(f"'{name}' needs {self.channels} numbers, one a channel")
        if min(self.std) <= 0:
            raise ValueError("'std' must be greater than 0")
        return self


@dataclass(frozen=True)
class Split:
    """Images, or volumes, of one split, with labels or masks.

    Attributes:
        count: number of images, n.
        image: index -> ``uint8[H, W]`` or ``uint8[H, W, 3]``, or a volume ``float32[D, H, W]``; decoded when
            asked for.
        labels: ``int64[n]``, 0 to classes - 1; none for segmentation.
        ids: what an error or a contact sheet calls each image (file name or index).
        groups: patient or lesion of each image, when the data names one.
        mask: index -> ``uint8[H, W]`` or ``uint8[D, H, W]``, when the data has masks; for segmentation the index
            of each pixel's class, or ``IGNORE``.
        spacings: of each image, mm between neighbours along each axis of the array; none where it is not known.
        valid: index -> ``bool`` mask of the field of view; pixels outside of it count nowhere.
        subgroups: by column of a table (age, sex, site), the subgroup of each image.
    """

    count: int
    image: Callable[[int], NDArray[Any]]
    labels: NDArray[np.int64] | None
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    mask: Callable[[int], NDArray[np.uint8]] | None = None
    spacings: tuple[tuple[float, ...] | None, ...] | None = None
    valid: Callable[[int], NDArray[np.bool_]] | None = None
    subgroups: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A loaded data set: its splits and what is known of it."""

    name: str
    classes: tuple[str, ...]
    splits: dict[SplitName, Split]
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


class DataConfig(Frozen):
    """Base of every data source that a recipe can name. One file each in ``edgekit/data/``."""

    leakage: Literal["warn", "error", "ignore"] = Field(
        default="warn",
        description="images that two splits hold, the same or nearly: warn puts them at the top of the checklist, "
        "error stops the run, ignore does not look for them",
    )

    def files(self) -> tuple[Path, ...]:
        """The files and folders that determine the data; their content is part of every cache key."""
        return ()

    def fetch(self) -> None:
        """Bring what is not here yet, where the recipe allows a download. Called before ``files``."""

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """Read the data.

        Args:
            classes: the recipe's class names in the order of the labels.
            dense: segmentation: the truth is a mask of each image, not its label.

        Raises:
            InputError: naming the file, the array or row, the rule and the remedy.
        """
        raise NotImplementedError
