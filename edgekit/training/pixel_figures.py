"""Figures of dense predictions, counted over windows that come in parts, so that memory does not grow with them.

All pixels of all windows are counted together (micro), those under several windows more than once, and ignored ones
not at all. They choose epochs and layers; a report's figures are those of whole cases, see ``evaluate``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.data.base import IGNORE
from edgekit.evaluate import calibration


class PixelFigures:
    """Counts of pixels by true and predicted class, and what follows from them.

    Attributes:
        confusion: ``int64[K, K]``, rows are the true classes.
    """

    def __init__(self, classes: int, calibrated: bool = False) -> None:
        """
        Args:
            classes: K, the background first.
            calibrated: also count what ``ece`` and ``nll`` need, which takes the time of a softmax.
        """
        self.confusion: NDArray[np.int64] = np.zeros((classes, classes), dtype=np.int64)
        self._calibrated = calibrated
        self._gaps = np.zeros(calibration.BINS)
        self._nll = 0.0

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Count windows.

        Args:
            logits: ``float32[n, K, *spatial]``.
            targets: ``int64[n, *spatial]``, 0 to K - 1 or IGNORE; on the same device.
        """
        classes = len(self.confusion)
        counts = targets != IGNORE
        true, predicted = targets[counts], logits.argmax(1)[counts]
        pairs = torch.bincount(true * classes + predicted, minlength=classes**2)
        self.confusion += pairs.view(classes, classes).cpu().numpy()
        if self._calibrated:
            shares = logits.double().log_softmax(1).movedim(1, -1)[counts]
            self._nll -= float(shares.gather(1, true[:, None]).sum())
            # Rounding may put the largest probability a bit above 1.
            confidence = shares.amax(1).exp().clamp_max(1).cpu().numpy()
            gaps = (predicted == true).cpu().numpy() - confidence
            bins = calibration.bin_index(confidence)
            self._gaps += np.bincount(bins, weights=gaps, minlength=calibration.BINS)

    @property
    def pixels(self) -> int:
        """How many were counted."""
        return int(self.confusion.sum())

    @property
    def sensitivities(self) -> NDArray[np.float64]:
        """TP / (TP + FN) of each class ``[K]``; NaN for one without a true pixel."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def dices(self) -> NDArray[np.float64]:
        """2 TP / (2 TP + FP + FN) of each class ``[K]``; NaN for one without a true pixel."""
        true, given = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return _shares(2 * np.diag(self.confusion), np.where(true > 0, true + given, 0))

    @property
    def mean_dice(self) -> float:
        """The mean over the foreground classes that have true pixels; NaN without any."""
        return _mean(self.dices[1:])

    def figures(self, classes: Sequence[str]) -> dict[str, float]:
        """All figures; Dice and sensitivity of a class only where it has true pixels.

        ``accuracy``, ``balanced_accuracy`` (mean sensitivity of the classes with true pixels), ``mean_dice``,
        ``dice/<class>``, ``sensitivity/<class>``, and ``nll`` and ``ece`` where they were counted. Those that are
        not defined are NaN.
        """
        pixels = self.pixels or float("nan")
        found = {
            "accuracy": float(np.trace(self.confusion)) / pixels,
            "balanced_accuracy": _mean(self.sensitivities),
            "mean_dice": self.mean_dice,
        }
        if self._calibrated:
            found |= {"nll": self._nll / pixels, "ece": float(np.abs(self._gaps).sum()) / pixels}
        for name, dice, sensitivity in zip(classes, self.dices, self.sensitivities, strict=True):
            if np.isfinite(sensitivity):
                found |= {f"dice/{name}": float(dice), f"sensitivity/{name}": float(sensitivity)}
        return found


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.full(len(whole), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are defined."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
