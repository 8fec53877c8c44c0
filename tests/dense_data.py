"""Small prepared data with masks, for images and for volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.base import IGNORE, SPLITS, Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from tests.networks import DENSE_SIZE

CLASSES = ("ground", "large", "small")
COUNTS = {"train": 12, "val": 8, "test": 4}


def _split(axes: int, count: int, seed: int) -> Split:
    """Noise with a large box of middle gray and a small bright one; a corner is not annotated."""
    random = np.random.default_rng(seed)
    side = DENSE_SIZE[axes][-1]
    large, small = side // 2, side // 4
    images, masks = [], []
    for index in range(count):
        mask = np.zeros((side,) * axes, dtype=np.uint8)
        starts = random.integers(0, side - large, axes)
        mask[tuple(slice(one, one + large) for one in starts)] = 1
        if index % 4:  # the rare class is not everywhere
            starts = random.integers(0, side - small, axes)
            mask[tuple(slice(one, one + small) for one in starts)] = 2
        images.append(random.integers(0, 60, mask.shape) + mask * 90)
        mask[(slice(0, 2),) * axes] = IGNORE
        masks.append(mask)
    kind: Any = np.uint8 if axes == 2 else np.float32
    return Split(
        count,
        lambda index: images[index].astype(kind),
        None,
        tuple(map(str, range(count))),
        mask=lambda index: masks[index],
    )


def dense_data(folder: Path, axes: int) -> Prepared:
    """Twelve, eight and four cases of one window each, with the classes ``CLASSES``."""
    size = DENSE_SIZE[axes]
    if axes == 2:
        spec = Preprocessing(size=size[1:])
    else:
        spec = Preprocessing(size=size[1:], channels=1, fit="window", normalization="per_image")
    splits = {name: _split(axes, COUNTS[name], seed) for seed, name in enumerate(SPLITS)}
    prepare(Dataset("boxes", CLASSES, splits), spec, folder, lambda fraction, text: None, dense=True)
    return Prepared.open(folder)
