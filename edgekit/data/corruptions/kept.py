"""Corrupted images of a classification, kept for the artifacts that follow as long as they fit into memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import SplitName
from edgekit.data.corruptions.base import Corruption
from edgekit.data.corruptions.corrupt import corrupt
from edgekit.data.prepared import Prepared

#: 200 images of 64 by 64 in colour, twelve corruptions in five severities, take 147 MB.
_ROOM_BYTES = 512 * 1024 * 1024


class CorruptedImages:
    """Every artifact is to see the same images, and making them takes longer than some artifacts take to answer."""

    def __init__(self, prepared: Prepared, split: SplitName, indices: NDArray[np.int64], seed: int) -> None:
        """
        Args:
            prepared: the data.
            split: of the images.
            indices: which of them.
            seed: of the corruptions.
        """
        self._prepared = prepared
        self._split = split
        self._indices = indices
        self._seed = seed
        self._kept: dict[tuple[str, int], NDArray[Any]] = {}
        self._room = _ROOM_BYTES

    def at(self, one: Corruption, severity: int) -> NDArray[Any]:
        """All images, ``[k, *size, C]`` as they are stored, not yet normalized."""
        name = one.name, severity
        if name in self._kept:
            return self._kept[name]
        images = self._prepared.pixels(self._split, self._indices)
        spec = self._prepared.preprocessing

        def made(place: int) -> NDArray[Any]:
            return corrupt(images[place], spec, one, severity, self._seed, int(self._indices[place]))

        # Filters release Python's lock, so threads help.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            found = np.stack(list(pool.map(made, range(len(images)))))
        if found.nbytes <= self._room:
            self._room -= found.nbytes
            self._kept[name] = found
        return found
