"""The figures of a segmentation as functions of case weights, made once from each case's sums and distances.

A function takes weights ``[b, n]`` of n cases (see ``bootstrap``) and returns the figure under each, ``[b]``, NaN
where it is not defined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import IGNORE
from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import overlap
from edgekit.evaluate.pixels import PixelSums, pixel_sums
from edgekit.evaluate.sliding_window import assemble, assemble_mask
from edgekit.evaluate.surface import hd95

if TYPE_CHECKING:
    from edgekit.data.cases import Case

Floats = NDArray[np.float64]
Figure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class CaseFigures:
    """What was measured of n cases and K classes.

    Attributes:
        confusion: pixels ``[n, K, K]`` of each true class (row) that got each class (column).
        nll: ``[n]``, sum over the case's pixels; ``brier`` likewise.
        brier: see ``nll``.
        bins: ``[n, 3, 15]``: pixels, sum of their confidences and number of right ones in each bin.
        distance: ``[n, K]``, HD95; NaN where it is not defined.
        diagonal: ``[n]``, the largest distance that two pixels of the case can have.
    """

    confusion: NDArray[np.int64]
    nll: Floats
    brier: Floats
    bins: Floats
    distance: Floats
    diagonal: Floats

    @property
    def pixels(self) -> Floats:
        """Counted pixels ``[n]``."""
        counted: Floats = self.confusion.sum(axis=(1, 2)).astype(np.float64)
        return counted

    @functools.cached_property
    def dice(self) -> Floats:
        """``[n, K]``."""
        return overlap.dice(self.confusion)

    @functools.cached_property
    def iou(self) -> Floats:
        """``[n, K]``."""
        return overlap.iou(self.confusion)

    @functools.cached_property
    def known(self) -> list[int]:
        """Foreground classes that some case has in truth; a model cannot be judged by the others.

        The truth alone decides, so that this is the same for every artifact.
        """
        true = self.confusion.sum(axis=(0, 2)) > 0
        return [k for k in range(1, true.size) if true[k]]

    @functools.cached_property
    def mean_dice(self) -> Floats:
        """``[n]``, over the known classes, of which there is at least one."""
        average: Floats = self.dice[:, self.known].mean(axis=1)
        return average

    def presence(self, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which cases ``[n]`` have a pixel of class ``k`` in the truth, and which in the prediction."""
        return self.confusion[:, k, :].sum(axis=1) > 0, self.confusion[:, :, k].sum(axis=1) > 0


def measure(
    cases: Sequence[Case], logits: NDArray[np.float32], masks: NDArray[np.uint8], distances: bool = True
) -> CaseFigures:
    """Assemble and measure one case after the other, so that no more than one is in memory.

    Args:
        cases: in the order of their windows.
        logits: ``[n, K, *window]``, finite.
        masks: ``[n, *window]``.
        distances: whether HD95, which takes longest, is measured; else it is nowhere defined.

    Raises:
        InputError: naming the case.
        MissingError: scipy is not installed.
    """
    sums: list[PixelSums] = []
    classes = logits.shape[1]
    distance = np.full((len(cases), classes), np.nan)
    diagonal = np.empty(len(cases))
    for i, case in enumerate(cases):
        windows = slice(case.first, case.first + case.count)
        blended = assemble(case, logits[windows])
        truth = assemble_mask(case, masks[windows])
        try:
            sums.append(pixel_sums(blended, truth))
        except InputError as error:
            raise InputError(error.problem, where=f"case '{case.id}'", remedy=error.remedy) from None
        # To the surfaces, what is not counted is background in both.
        predicted = np.where(truth == IGNORE, 0, blended.argmax(axis=0))
        for k in range(1, classes) if distances else ():
            distance[i, k] = hd95(truth == k, predicted == k, case.spacing)
        spacing = np.ones(len(case.shape)) if case.spacing is None else np.asarray(case.spacing)
        diagonal[i] = np.linalg.norm((np.asarray(case.shape) - 1) * spacing)
    return CaseFigures(
        confusion=np.stack([one.confusion for one in sums]),
        nll=np.array([one.nll for one in sums]),
        brier=np.array([one.brier for one in sums]),
        bins=np.stack([np.stack([one.count, one.confidence, one.correct]) for one in sums]),
        distance=distance,
        diagonal=diagonal,
    )


def figures_of(found: CaseFigures, classes: Sequence[str]) -> tuple[dict[str, Figure], dict[str, str]]:
    """Each figure as a function of case weights, and why those that are missing are not defined."""
    pixels = found.pixels
    right = np.trace(found.confusion, axis1=1, axis2=2).astype(np.float64)
    gaps = found.bins[:, 2] - found.bins[:, 1]
    figures: dict[str, Figure] = {
        "accuracy": lambda w: _ratio(w, right, pixels),
        "nll": lambda w: _ratio(w, found.nll, pixels),
        "brier": lambda w: _ratio(w, found.brier, pixels),
        "ece": lambda w: np.abs(w @ gaps).sum(axis=1) / (w @ pixels),
    }
    reasons: dict[str, str] = {}
    if found.known:
        figures["mean_dice"] = lambda w: boot.mean(w, found.mean_dice)
    else:
        reasons["mean_dice"] = "the test split has no pixel of a foreground class"
    for k, one in enumerate(classes[1:], start=1):
        if k in found.known:
            figures[f"dice/{one}"] = functools.partial(boot.mean, values=found.dice[:, k])
            figures[f"iou/{one}"] = functools.partial(boot.mean, values=found.iou[:, k])
        else:
            reasons[f"dice/{one}"] = reasons[f"iou/{one}"] = f"the test split has no pixel of class '{one}'"
        defined = np.isfinite(found.distance[:, k])
        true = found.confusion[:, k, :].sum(axis=1).astype(np.float64)
        called = found.confusion[:, :, k].sum(axis=1)
        hits = found.confusion[:, k, k]
        for metric, part, whole, whom in (
            (
                "hd95", np.where(defined, found.distance[:, k], 0.0), defined.astype(np.float64),
                "case with '{}' both in the truth and in the prediction",
            ),
            ("sensitivity", hits, true, "pixel of class '{}'"),
            ("specificity", pixels - true - called + hits, pixels - true, "pixel of another class than '{}'"),
        ):  # fmt: skip
            if whole.any():
                figures[f"{metric}/{one}"] = functools.partial(_ratio, part=part.astype(np.float64), whole=whole)
            else:
                reasons[f"{metric}/{one}"] = f"the test split has no {whom.format(one)}"
    return figures, reasons


def _ratio(weights: Floats, part: Floats, whole: Floats) -> Floats:
    """Weighted sum of ``part`` ``[n]`` over that of ``whole``; NaN where nothing of it was drawn."""
    total = weights @ whole
    result: Floats = np.divide(weights @ part, total, out=np.full(total.shape, np.nan), where=total > 0)
    return result
