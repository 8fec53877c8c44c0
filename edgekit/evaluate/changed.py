"""Which images an artifact answers otherwise than the source, and what that costs the true class.

They are changed predictions and no more: compression-identified exemplars need a population of models (see
``exemplars``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from edgekit.evaluate.figures import softmax
from edgekit.record import Changed, ChangedImage

#: The worst that are kept one by one; the predictions in the record tell the others.
MOST = 100


def changed(artifact: str, source: ArrayLike, logits: ArrayLike, labels: ArrayLike, ids: Sequence[str]) -> Changed:
    """The changed predictions, the greatest loss of the true class's probability first.

    Args:
        artifact: its name in the record.
        source: ``[n, classes]``, finite logits of the source.
        logits: the same of the artifact.
        labels: ``[n]``.
        ids: what each image is called.
    """
    before, after = np.asarray(source, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    truth = np.asarray(labels)
    rows = np.arange(truth.size)
    true_before, true_after = softmax(before)[rows, truth], softmax(after)[rows, truth]
    classes_before, classes_after = before.argmax(axis=1), after.argmax(axis=1)
    moved = np.flatnonzero(classes_before != classes_after)
    worst = moved[np.argsort((true_after - true_before)[moved], kind="stable")][:MOST]
    return Changed(
        artifact=artifact,
        count=int(moved.size),
        images=tuple(
            ChangedImage(
                image=int(one),
                id=ids[one],
                before=int(classes_before[one]),
                after=int(classes_after[one]),
                true_before=round(float(true_before[one]), 6),
                true_after=round(float(true_after[one]), 6),
            )
            for one in worst
        ),
    )
