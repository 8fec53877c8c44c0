"""Data sources, one file each. A recipe picks one by its ``kind``.

A new source is one file with a config class and one line in ``AnyData``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekit.data.base import IGNORE, SPLITS, DataConfig, Dataset, Preprocessing, Split, SplitName
from edgekit.data.cases import Case
from edgekit.data.image_folder import ImageFolder
from edgekit.data.image_index import ImageIndex
from edgekit.data.masks import Masks
from edgekit.data.medmnist import MedMnist
from edgekit.data.npz import Npz
from edgekit.data.phantom import Phantom
from edgekit.data.prepared import Prepared, prepare

AnyData = Annotated[Phantom | Npz | MedMnist | ImageFolder | ImageIndex | Masks, Field(discriminator="kind")]

__all__ = [
    "AnyData",
    "DataConfig",
    "Phantom",
    "Npz",
    "MedMnist",
    "ImageFolder",
    "ImageIndex",
    "Masks",
    "IGNORE",
    "SPLITS",
    "SplitName",
    "Split",
    "Case",
    "Dataset",
    "Preprocessing",
    "Prepared",
    "prepare",
]
