"""Which classes the images of a split hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.training.batches import batches

if TYPE_CHECKING:
    from edgekit.data.base import SplitName
    from edgekit.training.sampling import Images

#: Windows whose masks are counted at a time.
_AT_ONCE = 16


def contents(data: Images, split: SplitName) -> NDArray[np.int64]:
    """``int64[n, classes]``: how many pixels of each class every window holds.

    An image with one label is a window of one pixel. Ignored pixels are in no class.
    """
    classes = len(data.classes)
    found = np.zeros((data.count(split), classes), dtype=np.int64)
    for part in batches(len(found), _AT_ONCE):
        for index, target in zip(part, data.targets(split, part), strict=True):
            found[index] = np.bincount(target.reshape(-1), minlength=classes)[:classes]
    return found
