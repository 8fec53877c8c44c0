"""What a split says of its images, for tests that know it is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.data import Split


def labels(split: Split) -> NDArray[np.int64]:
    """The labels of a classification's split."""
    assert split.labels is not None
    return split.labels
