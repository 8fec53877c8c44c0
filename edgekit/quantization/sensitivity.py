"""Sensitivity analysis: what INT8 in one layer alone does to the predictions on validation images.

The harm of a layer is the mean Kullback-Leibler divergence of its predictions from the float network's, in nat. It
is never negative and moves before any class changes, so it orders the layers also where accuracy cannot tell them
apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.evaluate.figures import figures_of, log_softmax
from edgekit.quantization.partial import Deltas, Partial

if TYPE_CHECKING:
    import torch

    from edgekit.data.prepared import Prepared

#: Images of a rare class that are taken where the split has them, however small its share.
_OF_EACH_CLASS = 16
#: The figures of a row, in the order of the table.
COLUMNS = (
    "kl", "logit_error", "agreement", "nll", "accuracy", "balanced_accuracy", "ece", "rarest_sensitivity",
)  # fmt: skip
HARM = "kl: mean Kullback-Leibler divergence of the predictions from the float network's, nat"


@dataclass(frozen=True)
class Images:
    """The validation images on which layers are compared.

    Attributes:
        indices: which images of the split.
        labels: ``int64[n]``.
        weights: ``float64[n]``; they give each class its share of the whole split again.
        classes: names.
        rarest: index of the class with the fewest training images among those that are here.
        available: images of the split.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]
    rarest: int
    available: int

    def described(self) -> dict[str, Any]:
        """For the record."""
        return {
            "split": "val",
            "images": len(self.indices),
            "available": self.available,
            "drawn": "all"
            if len(self.indices) == self.available
            else f"evenly within each class, at least {_OF_EACH_CLASS} of it where there are; "
            "weighted back to the shares of the split",
            "rarest_class": self.classes[self.rarest],
            "rarest_class_images": int((self.labels == self.rarest).sum()),
        }


def choose(data: Prepared, most: int) -> Images:
    """All validation images, or about ``most`` of them: evenly within each class, rare classes whole."""
    labels = np.asarray(data.labels("val"))
    counts = np.bincount(labels, minlength=len(data.classes))
    taken = []
    weights = []
    for one in np.flatnonzero(counts):
        own = np.flatnonzero(labels == one)
        wanted = len(own)
        if len(labels) > most:
            wanted = min(len(own), max(_OF_EACH_CLASS, round(most * len(own) / len(labels))))
        some = own[np.linspace(0, len(own) - 1, wanted).round().astype(np.int64)]
        taken.append(some)
        weights.append(np.full(len(some), len(own) / len(some)))
    indices = np.concatenate(taken)
    order = np.argsort(indices)
    trained = np.bincount(data.labels("train"), minlength=len(data.classes))
    rarest = min(np.flatnonzero(counts), key=lambda one: (trained[one], one))
    chosen = indices[order]
    return Images(chosen, labels[chosen], np.concatenate(weights)[order], data.classes, int(rarest), len(labels))


def figures(logits: NDArray[np.float32], reference: NDArray[np.float32], images: Images) -> dict[str, float | None]:
    """What one form of the network does on ``images``, against the logits ``reference`` of the float network.

    Returns:
        ``kl`` (see the module), ``logit_error`` (squared error of the logits over their energy, both without the
        mean over classes, which softmax ignores), ``agreement`` (share of images with the same class as in float),
        ``nll``, ``accuracy``, ``balanced_accuracy``, ``ece`` and ``rarest_sensitivity``. Those that the split does
        not define are none; ``kl`` and ``logit_error`` of logits that are not finite too.
    """
    found: dict[str, float | None] = dict.fromkeys(COLUMNS)
    if not np.isfinite(logits).all():
        return found

    def mean(values: NDArray[Any]) -> float:
        return float(images.weights @ values / images.weights.sum())

    before, after = log_softmax(reference), log_softmax(logits)
    found["kl"] = max(0.0, mean((np.exp(before) * (before - after)).sum(axis=1)))
    centred = [one - one.mean(axis=1, keepdims=True) for one in (_wide(reference), _wide(logits))]
    energy = mean((centred[0] ** 2).sum(axis=1))
    found["logit_error"] = mean(((centred[1] - centred[0]) ** 2).sum(axis=1)) / energy if energy else None
    # Shares are rounded, so that 19 of 20 images is not less than 0.95.
    found["agreement"] = round(mean(logits.argmax(axis=1) == reference.argmax(axis=1)), 12)
    known, _ = figures_of(_wide(logits), images.labels, images.classes)
    rare = f"sensitivity/{images.classes[images.rarest]}"
    for name in ("nll", "accuracy", "balanced_accuracy", "ece", rare):
        if name in known:
            found["rarest_sensitivity" if name == rare else name] = round(
                float(known[name](images.weights[None])[0]), 12
            )
    return found


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
        images: of which ``inputs`` are the images, ``float32[n, C, H, W]``.
        inputs: see there.
        correct_on: training images on which the bias of the quantized layer is corrected (it is not rounded);
            none where the pass does not correct biases.
        deltas: what is added to the biases of the network with every layer quantized.
        progress: called with the fraction done and a short text.
    """
    base, alone = partial.alone(inputs, correct_on, lambda done: progress(done, "sensitivity of the layers"))
    total = sum(partial.macs.values())
    table = {
        **images.described(),
        "harm": HARM,
        "bias_correction": correct_on is not None,
        "all_float": figures(base, base, images),
        "all_int8": figures(partial.together(inputs, (), deltas), base, images),
        "layers": [
            {
                "layer": name,
                "macs_share": partial.macs[name] / total,
                **figures(logits, base, images),
            }
            for name, logits in alone.items()
        ],
    }
    return table, base


def _wide(logits: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(logits, dtype=np.float64)
