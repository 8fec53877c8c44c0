"""How good a model is on some images, in the figures of its task; memory does not grow with dense predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit import model as models
from edgekit.evaluate.figures import figures_of
from edgekit.training.batches import batches
from edgekit.training.pixel_figures import PixelFigures

if TYPE_CHECKING:
    from edgekit.data.base import SplitName
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model

#: Inputs and targets of some of the images, by their indices.
Read = Callable[[NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.int64]]]


class Scores:
    """The figures of logits that come in parts.

    Args:
        dense: whether there is a target for each pixel.
        classes: names.
    """

    def __init__(self, dense: bool, classes: Sequence[str]) -> None:
        self._dense, self._classes = dense, classes
        self._pixels = PixelFigures(len(classes), calibrated=True)
        self._logits: list[NDArray[np.float32]] = []
        self._labels: list[NDArray[np.int64]] = []

    def add(self, logits: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
        """Logits ``[k, K, *spatial]`` and targets ``[k, *spatial]`` of some images."""
        if self._dense:
            self._pixels.add(torch.from_numpy(logits), torch.from_numpy(np.array(targets)))
        else:
            self._logits.append(logits)
            self._labels.append(targets)

    def figures(self) -> dict[str, float]:
        """For segmentation those of ``pixel_figures``, for classification those of ``evaluate.figures``.

        ``balanced_accuracy`` is the mean sensitivity of the classes that are there.
        """
        if self._dense:
            return self._pixels.figures(self._classes)
        labels = np.concatenate(self._labels)
        found, _ = figures_of(np.concatenate(self._logits).astype(np.float64), labels, self._classes)
        value = {name: float(figure(np.ones((1, len(labels))))[0]) for name, figure in found.items()}
        sensitivities = [one for name, one in value.items() if name.startswith("sensitivity/")]
        return {**value, "balanced_accuracy": float(np.mean(sensitivities))}


def scores(model: Model, read: Read, count: int, classes: Sequence[str]) -> dict[str, float]:
    """The figures of ``model`` on images.

    Args:
        model: a float model.
        read: gives inputs ``float32[k, *input_size]`` and targets.
        count: number of images.
        classes: names.

    Raises:
        InputError: a logit is not finite.
    """
    found = Scores(model.task == "segmentation", classes)
    for part in batches(count, model.at_once):
        inputs, targets = read(part)
        found.add(models.logits(model, inputs), targets)
    return found.figures()


def of_split(data: Prepared, split: SplitName) -> Read:
    """Reads a split of prepared data."""
    return lambda part: (data.inputs(split, part), data.targets(split, part))
