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


class Preprocessing(Frozen):
    """How an 8-bit image becomes the network's input. Stored with every artifact.

    The steps, in this order: grayscale or colour conversion to ``channels``; resize of the whole image to
    ``size``; division by ``scale``; subtraction of ``mean`` and division by ``std``, per channel.
    """

    size: tuple[int, int] = Field(description="height and width in pixels")
    channels: Literal[1, 3] = 3
    resize: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    scale: float = Field(default=255.0, gt=0)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @model_validator(mode="after")
    def _fits(self) -> Preprocessing:
        if min(self.size) < 8 or max(self.size) > 4096:
            raise ValueError(f"'size' must be 8 to 4096 pixels a side (got {list(self.size)})")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(f"'{name}' needs {self.channels} numbers, one a channel")
        if min(self.std) <= 0:
            raise ValueError("'std' must be greater than 0")
        return self


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    Attributes:
        count: number of images, n.
        image: index -> ``uint8[H, W]`` or ``uint8[H, W, 3]``; decoded when asked for.
        labels: ``int64[n]``, 0 to classes - 1.
        ids: what an error or a contact sheet calls each image (file name or index).
        groups: patient or lesion of each image, when the data names one.
        mask: index -> ``uint8[H, W]``, when the data has masks.
    """

    count: int
    image: Callable[[int], NDArray[np.uint8]]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    mask: Callable[[int], NDArray[np.uint8]] | None = None


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

    def files(self) -> tuple[Path, ...]:
        """The files and folders that determine the data; their content is part of every cache key."""
        return ()

    def fetch(self) -> None:
        """Bring what is not here yet, where the recipe allows a download. Called before ``files``."""

    def load(self, classes: tuple[str, ...]) -> Dataset:
        """Read the data.

        Args:
            classes: the recipe's class names in the order of the labels.

        Raises:
            InputError: naming the file, the array or row, the rule and the remedy.
        """
        raise NotImplementedError
