"""Sensitivity analysis: what INT8 in one layer alone does to the predictions on validation images.

The harm of a layer is the mean Kullback-Leibler divergence of its predictions from the float network's, in nat. It
is never negative and moves before any class changes, so it orders the layers also where accuracy cannot tell them
apart. For segmentation the mean is over all pixels of the windows that count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.arrays import spread
from edgekit.quantization.harm import Harm, ImageHarm, PixelHarm, Row
from edgekit.quantization.partial import Deltas, Partial
from edgekit.training.contents import contents

if TYPE_CHECKING:
    import torch

    from edgekit.data.prepared import Prepared
    from edgekit.quantization.settings import Calibration

#: Images of a rare class that are taken where the split has them, however small its share.
_OF_EACH_CLASS = 16
#: Pixels of the windows that are taken where the recipe does not say how many.
_PIXELS = 2**24
#: The figures of a row, in the order of the table.
COLUMNS = (
    "kl", "logit_error", "agreement", "nll", "accuracy", "balanced_accuracy", "ece", "rarest_sensitivity",
)  # fmt: skip
#: What a row of a classification has besides: of the class that lost most, against the float network.
FLAT_COLUMNS = ("sensitivity_drop",)
#: What a row of a segmentation has besides.
DENSE_COLUMNS = ("mask_dice", "mean_dice")
HARM = "kl: mean Kullback-Leibler divergence of the predictions from the float network's, nat"


@dataclass(frozen=True)
class Images:
    """The validation images on which layers are compared; windows, for segmentation.

    Attributes:
        indices: which images of the split.
        labels: ``int64[n]``; for segmentation masks ``int64[n, *window]`` with IGNORE.
        weights: ``float64[n]``; they give each class its share of the whole split again. For segmentation 1.
        classes: names.
        rarest: index of the class with the fewest training images, or pixels, among those that are here.
        available: images of the split.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]
    rarest: int
    available: int

    @property
    def dense(self) -> bool:
        """Whether there is a label for each pixel."""
        return self.labels.ndim > 1

    def harm(self) -> Harm:
        """What a form of the network does on these images, to be filled."""
        if self.dense:
            return PixelHarm(self.labels, self.classes, self.rarest)
        return ImageHarm(self.labels, self.weights, self.classes, self.rarest)

    def described(self) -> dict[str, Any]:
        """For the record."""
        how = (
            f"evenly within each class, at least {_OF_EACH_CLASS} of it where there are; "
            "weighted back to the shares of the split"
        )
        if self.dense:
            how = "windows: half of them evenly over the split, half evenly over those with foreground"
        holds = (self.labels == self.rarest).reshape(len(self.labels), -1).any(axis=1)
        return {
            "split": "val",
            "images": len(self.indices),
            "available": self.available,
            "drawn": "all" if len(self.indices) == self.available else how,
            "rarest_class": self.classes[self.rarest],
            "rarest_class_images": int(holds.sum()),
        }


def how_many(settings: Calibration, data: Prepared) -> int:
    """The most images to take: the recipe's number, or for segmentation windows of 2^24 pixels together at most."""
    if not data.dense or "sensitivity_images" in settings.model_fields_set:
        return settings.sensitivity_images
    return max(2, min(settings.sensitivity_images, _PIXELS // math.prod(data.preprocessing.size)))


def choose(data: Prepared, most: int) -> Images:
    """All validation images, or about ``most`` of them: evenly within each class, rare classes whole."""
    if data.dense:
        return _choose_windows(data, most)
    labels = np.asarray(data.labels("val"))
    counts = np.bincount(labels, minlength=len(data.classes))
    taken = []
    weights = []
    for one in np.flatnonzero(counts):
        own = np.flatnonzero(labels == one)
        wanted = len(own)
        if len(labels) > most:
            wanted = min(len(own), max(_OF_EACH_CLASS, round(most * len(own) / len(labels))))
        some = own[spread(len(own), wanted)]
        taken.append(some)
        weights.append(np.full(len(some), len(own) / len(some)))
    indices = np.concatenate(taken)
    order = np.argsort(indices)
    trained = np.bincount(data.labels("train"), minlength=len(data.classes))
    rarest = min(np.flatnonzero(counts), key=lambda one: (trained[one], one))
    chosen = indices[order]
    return Images(chosen, labels[chosen], np.concatenate(weights)[order], data.classes, int(rarest), len(labels))


def _choose_windows(data: Prepared, most: int) -> Images:
    """All validation windows, or ``most`` at most, half of these with foreground where so many have some."""
    available = data.count("val")
    chosen = np.arange(available)
    if available > most:
        holding = np.flatnonzero((contents(data, "val")[:, 1:] > 0).any(axis=1))
        some = holding[spread(len(holding), most // 2)] if holding.size else holding
        chosen = np.union1d(some, data.spread("val", most - len(some)))
    masks = data.targets("val", chosen)
    trained = list(data.summary["splits"]["train"]["class_counts"].values())
    present = np.bincount(masks.reshape(-1), minlength=len(data.classes))[: len(data.classes)] > 0
    rarest = min(np.flatnonzero(present), key=lambda one: (trained[one], one), default=0)
    return Images(chosen, masks, np.ones(len(chosen)), data.classes, int(rarest), available)


def figures(logits: NDArray[np.float32], reference: NDArray[np.float32], images: Images) -> Row:
    """What one form of the network does on ``images``, against the logits ``reference`` of the float network.

    Returns:
        ``kl`` (see the module), ``logit_error`` (squared error of the logits over their energy, both without the
        mean over classes, which softmax ignores), ``agreement`` (share of images, or pixels, with the same class as
        in float), ``nll``, ``accuracy``, ``balanced_accuracy``, ``ece``, ``rarest_sensitivity`` and
        ``sensitivity_drop`` (of the class that lost most, against the float network); for segmentation, in place of
        the last, ``mean_dice`` (with the masks) and ``mask_dice`` (with the float network's) as well. Those that
        the split does not define are none; all are of logits that are not finite.
    """
    harm = images.harm()
    harm.add(logits, reference, 0)
    return _complete(harm, images)


def _complete(harm: Harm, images: Images) -> Row:
    return dict.fromkeys((*COLUMNS, *(DENSE_COLUMNS if images.dense else FLAT_COLUMNS))) | harm.row()


def analyse(
    partial: Partial,
    images: Images,
    inputs: torch.Tensor,
    correct_on: torch.Tensor | None,
    deltas: Deltas,
    progress: Callable[[float, str], None],
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """The table of all layers, and the logits of the float network.

    Args:
        partial: the network.
        images: of which ``inputs`` are the images, ``float32[n, C, *spatial]``.
        inputs: see there.
        correct_on: training images on which the bias of the quantized layer is corrected (it is not rounded);
            none where the pass does not correct biases.
        deltas: what is added to the biases of the network with every layer quantized.
        progress: called with the fraction done and a short text.
    """
    harms = {name: images.harm() for name in partial.layers}
    base: list[NDArray[np.float32]] = []
    parts = partial.alone(inputs, correct_on, lambda done: progress(done, "sensitivity of the layers"))
    for start, name, logits in parts:
        if name is None:
            base.append(logits)
        else:
            harms[name].add(logits, base[-1], start)
    reference = np.concatenate(base)
    total = sum(partial.macs.values())
    table = {
        **images.described(),
        "harm": HARM,
        "bias_correction": correct_on is not None,
        "all_float": figures(reference, reference, images),
        "all_int8": figures(partial.together(inputs, (), deltas), reference, images),
        "layers": [
            {"layer": name, "macs_share": partial.macs[name] / total, **_complete(harm, images)}
            for name, harm in harms.items()
        ],
    }
    return table, reference
