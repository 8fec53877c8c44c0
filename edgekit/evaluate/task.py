"""What evaluation means for each kind of task, behind one door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate import classification, segmentation
from edgekit.evaluate.changed import changed
from edgekit.record import Changed, Measurement

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared


class Task(Protocol):
    """Figures of logits on the test split."""

    def evaluate(
        self,
        artifact: str,
        logits: NDArray[np.float32],
        bootstrap: int,
        seed: int,
        source: NDArray[np.float32] | None = None,
    ) -> list[Measurement]:
        """All figures, each with its interval or the reason why it is missing.

        With the source's logits each figure gets its difference from the source's.
        """
        ...

    def headline(self, rows: Sequence[Measurement]) -> str:
        """The one figure that a line of progress shows."""
        ...

    def predictions(self, logits: NDArray[np.float32]) -> dict[str, Any] | None:
        """What was predicted for each image, for the record; none where that is too much to keep."""
        ...

    def changed(self, artifact: str, source: NDArray[np.float32], logits: NDArray[np.float32]) -> Changed | None:
        """The images that are answered otherwise than by the source; none in segmentation."""
        ...


def task(kind: Literal["classification", "segmentation"], prepared: Prepared, classes: Sequence[str]) -> Task:
    """The evaluation of tasks of ``kind`` on the test split of ``prepared``."""
    return (_Segmentation if kind == "segmentation" else _Classification)(prepared, tuple(classes))


def not_measured(
    kind: Literal["classification", "segmentation"], artifact: str, reason: str, classes: Sequence[str]
) -> list[Measurement]:
    """Every metric of a task of ``kind`` with the reason why it is missing."""
    if kind == "segmentation":
        return segmentation.not_measured(artifact, None, reason, classes)
    return classification.not_measured(artifact, None, reason, classes)


@dataclass(frozen=True)
class _Classification:
    prepared: Prepared
    classes: tuple[str, ...]

    def evaluate(
        self,
        artifact: str,
        logits: NDArray[np.float32],
        bootstrap: int,
        seed: int,
        source: NDArray[np.float32] | None = None,
    ) -> list[Measurement]:
        labels, groups = self.prepared.labels("test"), self.prepared.groups("test")
        return classification.evaluate(artifact, logits, labels, self.classes, bootstrap, seed, groups, source)

    def headline(self, rows: Sequence[Measurement]) -> str:
        return _said("accuracy", "accuracy", rows)

    def predictions(self, logits: NDArray[np.float32]) -> dict[str, Any] | None:
        if not np.isfinite(logits).all():
            return None
        exponent = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        confidence = exponent.max(axis=1) / exponent.sum(axis=1)
        return {"predicted": logits.argmax(axis=1).tolist(), "confidence": np.round(confidence, 6).tolist()}

    def changed(self, artifact: str, source: NDArray[np.float32], logits: NDArray[np.float32]) -> Changed | None:
        if not np.isfinite(logits).all():
            return None
        return changed(artifact, source, logits, self.prepared.labels("test"), self.prepared.ids("test"))


@dataclass(frozen=True)
class _Segmentation:
    prepared: Prepared
    classes: tuple[str, ...]

    def evaluate(
        self,
        artifact: str,
        logits: NDArray[np.float32],
        bootstrap: int,
        seed: int,
        source: NDArray[np.float32] | None = None,
    ) -> list[Measurement]:
        cases, masks = self.prepared.cases("test"), self.prepared.masks("test")
        if masks is None:
            raise InputError("the data has no masks to compare with", where=str(self.prepared.folder))
        # Cases of one patient are resampled together.
        groups = self.prepared.groups("test")[[case.first for case in cases]]
        return segmentation.evaluate(artifact, logits, cases, masks, self.classes, bootstrap, seed, groups, source)

    def headline(self, rows: Sequence[Measurement]) -> str:
        return _said("mean_dice", "mean Dice", rows)

    def predictions(self, logits: NDArray[np.float32]) -> dict[str, Any] | None:
        return None

    def changed(self, artifact: str, source: NDArray[np.float32], logits: NDArray[np.float32]) -> Changed | None:
        return None


def _said(metric: str, words: str, rows: Sequence[Measurement]) -> str:
    found = next((row.samples for row in rows if row.metric == metric), None)
    return f"{words} {found[0]:.3f}" if found else f"{words} not measured"
