"""Going through a split part by part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def batches(count: int, at_once: int) -> Iterator[NDArray[np.int64]]:
    """The indices 0 to ``count`` - 1, ``at_once`` at a time."""
    for start in range(0, count, at_once):
        yield np.arange(start, min(start + at_once, count))
