"""What one form of a network does to its predictions, against the float network on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from edgekit.data.base import IGNORE
from edgekit.evaluate.figures import figures_of, log_softmax
from edgekit.training.pixel_figures import PixelFigures

Row = dict[str, float | None]


class Harm(Protocol):
    """The figures of a form whose logits come in parts."""

    def add(self, logits: NDArray[np.float32], reference: NDArray[np.float32], start: int) -> None:
        """Take note of the logits of some images, and of the float network's; the first is image ``start``."""
        ...

    def row(self) -> Row:
        """The figures; none for those that are not defined, and for all where a logit was not finite."""
        ...


class ImageHarm:
    """For one label an image; ``sensitivity.COLUMNS`` says what a row holds.

    Args:
        labels: ``int64[n]``.
        weights: ``float64[n]`` of the images.
        classes: names.
        rarest: index of the class that is followed.
    """

    def __init__(
        self, labels: NDArray[np.int64], weights: NDArray[np.float64], classes: Sequence[str], rarest: int
    ) -> None:
        self._labels, self._weights, self._classes, self._rarest = labels, weights, classes, rarest
        self._logits: list[NDArray[np.float32]] = []
        self._reference: list[NDArray[np.float32]] = []

    def add(self, logits: NDArray[np.float32], reference: NDArray[np.float32], start: int) -> None:
        """See ``Harm``."""
        self._logits.append(logits)
        self._reference.append(reference)

    def row(self) -> Row:
        """See ``Harm``."""
        logits, reference = np.concatenate(self._logits), np.concatenate(self._reference)
        if not np.isfinite(logits).all():
            return {}
        weights = self._weights

        def mean(values: ArrayLike) -> float:
            return float(weights @ np.asarray(values, dtype=np.float64) / weights.sum())

        before, after = log_softmax(reference), log_softmax(logits)
        energy, error = (mean(one) for one in _energies(reference, logits))
        found: Row = {
            "kl": max(0.0, mean((np.exp(before) * (before - after)).sum(axis=1))),
            "logit_error": error / energy if energy else None,
            # Shares are rounded, so that 19 of 20 images is not less than 0.95.
            "agreement": round(mean(logits.argmax(axis=1) == reference.argmax(axis=1)), 12),
        }
        known, _ = figures_of(logits.astype(np.float64), self._labels, self._classes)
        rare = f"sensitivity/{self._classes[self._rarest]}"
        for name in ("nll", "accuracy", "balanced_accuracy", "ece", rare):
            if name in known:
                value = float(known[name](weights[None])[0])
                found["rarest_sensitivity" if name == rare else name] = round(value, 12)
        found["sensitivity_drop"] = self._lost(reference.argmax(axis=1), logits.argmax(axis=1))
        return found

    def _lost(self, before: NDArray[np.intp], after: NDArray[np.intp]) -> float:
        """Of the class that lost most. Images of one class have one weight, so it does not matter here."""
        drops = []
        for k in np.unique(self._labels):
            mine = self._labels == k
            drops.append(float((before[mine] == k).mean() - (after[mine] == k).mean()))
        return round(max(drops), 12)


class PixelHarm:
    """For masks: the same over all pixels that count, and Dice with the masks and with the float network's.

    Args:
        masks: ``int64[n, *window]`` with IGNORE.
        classes: names.
        rarest: index of the class that is followed.
    """

    def __init__(self, masks: NDArray[np.int64], classes: Sequence[str], rarest: int) -> None:
        self._masks, self._classes, self._rarest = masks, classes, rarest
        self._truth = PixelFigures(len(classes), calibrated=True)
        self._float = PixelFigures(len(classes))
        self._kl = self._energy = self._error = 0.0
        self._finite = True

    def add(self, logits: NDArray[np.float32], reference: NDArray[np.float32], start: int) -> None:
        """See ``Harm``."""
        self._finite = self._finite and bool(np.isfinite(logits).all())
        if not self._finite:
            return
        # Image by image: in double precision the logits of all would take several times their memory.
        for index in range(len(logits)):
            self._add(logits[index : index + 1], reference[index : index + 1], self._masks[start + index][None])

    def _add(self, logits: NDArray[np.float32], reference: NDArray[np.float32], masks: NDArray[np.int64]) -> None:
        counts = masks != IGNORE
        given, told = torch.from_numpy(logits), torch.from_numpy(reference)
        self._truth.add(given, torch.from_numpy(np.array(masks)))
        self._float.add(given, torch.from_numpy(np.where(counts, reference.argmax(axis=1), IGNORE)))
        before, after = told.double().log_softmax(1), given.double().log_softmax(1)
        divergence = (before.exp() * (before - after)).sum(1).numpy()
        self._kl += float(divergence[counts].sum())
        energy, error = (float(one[counts].sum()) for one in _energies(reference, logits))
        self._energy, self._error = self._energy + energy, self._error + error

    def row(self) -> Row:
        """See ``Harm``. ``mask_dice``: mean over the foreground classes that the float network finds."""
        if not self._finite or not self._truth.pixels:
            return {}
        truth, same = self._truth.figures(self._classes), self._float.figures(self._classes)
        # Where the float network finds no foreground at all, only the same does not differ from it.
        mask_dice = same["mean_dice"] if math.isfinite(same["mean_dice"]) else float(same["accuracy"] == 1)
        found: Row = {
            "kl": max(0.0, self._kl / self._truth.pixels),
            "logit_error": self._error / self._energy if self._energy else None,
            "agreement": round(same["accuracy"], 12),
            "mask_dice": round(mask_dice, 12),
            "rarest_sensitivity": truth.get(f"sensitivity/{self._classes[self._rarest]}"),
            **{name: truth[name] for name in ("nll", "accuracy", "balanced_accuracy", "mean_dice", "ece")},
        }
        return {name: one if one is not None and math.isfinite(one) else None for name, one in found.items()}


def _energies(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """Squared norm over classes of the logits, and of their change, both without the mean that softmax ignores."""
    before, after = (np.asarray(one, dtype=np.float64) for one in (reference, logits))
    before, after = (one - one.mean(axis=1, keepdims=True) for one in (before, after))
    return (before**2).sum(axis=1), ((after - before) ** 2).sum(axis=1)
