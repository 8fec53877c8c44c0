"""Does an exported artifact still compute what its source computes? Both see the same real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError
from edgekit.evaluate import overlap

#: Logits that are in float64 at once, so that the windows of whole volumes fit any machine.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Parity:
    """How far an artifact's logits are from its source's.

    Attributes:
        max_abs: largest absolute difference of a logit, over images and classes (and pixels, in segmentation).
        relative: ``max_abs`` divided by the largest absolute logit of the source.
        argmax_agreement: share of images (of pixels), 0 to 1, for which both name the same class.
        images: number of images (of windows) compared.
        problem: why the figures are none; none when they are there.
        mask_dice: overlap of both masks, 0 to 1; none in classification.
    """

    max_abs: float | None
    relative: float | None
    argmax_agreement: float | None
    images: int
    problem: str | None = None
    mask_dice: float | None = None


def compare(source_logits: ArrayLike, artifact_logits: ArrayLike) -> Parity:
    """Compare logits of the source and of the artifact on the same images.

    Every image (pixel) whose argmax differs counts as a disagreement, however close its two best classes are, and
    of equal logits the first one is taken, as a program that ships the artifact would. No allowance is made for
    near-ties: whoever uses the artifact gets the other class. (A float artifact flips only where the two best
    logits of the source lie within twice ``max_abs``, so on trained models that is rare.)

    Masks are compared by the Dice of each foreground class over the pixels of all windows together, averaged over
    the classes that either mask has; with none in any window both agree, and it is 1. That is the mean of the
    windows' Dice weighted by the sizes of their masks: empty windows do not raise it, and a window whose border
    cuts off three pixels of a lesion does not decide it.

    Args:
        source_logits: ``[n, classes]``, or ``[n, classes, *window]`` of segmentation; may be a memory map.
        artifact_logits: the same of the artifact.

    Raises:
        InputError: the source's logits are not finite or have another shape.
    """
    source, artifact = np.asarray(source_logits), np.asarray(artifact_logits)
    if source.ndim not in (2, 4, 5) or 0 in source.shape:
        raise InputError(
            "the source's logits must be [images, classes] or [windows, classes, *window] and not empty "
            f"(got {list(source.shape)})"
        )
    dense = source.ndim > 2
    images, classes = source.shape[:2]
    whole = f"of {images} {'windows' if dense else 'images'}"
    bad = _not_finite(source)
    if bad:
        raise InputError(
            f"the source's logits are not finite for {bad} {whole}",
            remedy="check the weights and the preprocessing",
        )
    if artifact.shape != source.shape:
        wrong = f"the artifact's logits are {list(artifact.shape)}, the source's {list(source.shape)}"
        return Parity(None, None, None, images, wrong)
    bad = _not_finite(artifact)
    if bad:
        wrong = f"the artifact's logits are not finite (NaN or infinite) for {bad} {whole}"
        return Parity(None, None, None, images, wrong)
    scale = max_abs = 0.0
    same = pixels = 0
    confusion = np.zeros((classes, classes), dtype=np.int64)
    for rows in _blocks(source):
        before, after = source[rows].astype(np.float64), artifact[rows].astype(np.float64)
        scale = max(scale, float(np.abs(before).max()))
        max_abs = max(max_abs, float(np.abs(before - after).max()))
        first, second = before.argmax(axis=1), after.argmax(axis=1)
        same += int((first == second).sum())
        pixels += first.size
        if dense:
            confusion += overlap.confusion(first, second, classes)
    if scale == 0.0:
        return Parity(None, None, None, images, "all logits of the source are 0, so nothing can be compared")
    mask_dice = _mask_dice(confusion) if dense else None
    return Parity(max_abs, max_abs / scale, same / pixels, images, mask_dice=mask_dice)


def worst(found: Sequence[Parity]) -> Parity:
    """The worst of each figure; the images of all together."""
    images = sum(one.images for one in found)
    problem = next((one.problem for one in found if one.problem), None)
    if problem is not None:
        return Parity(None, None, None, images, problem)

    def of(name: str, choose: Callable[[Iterable[float]], float]) -> float | None:
        values = [value for one in found if (value := getattr(one, name)) is not None]
        return choose(values) if values else None

    return Parity(
        of("max_abs", max), of("relative", max), of("argmax_agreement", min), images, mask_dice=of("mask_dice", min)
    )


def _mask_dice(confusion: NDArray[np.int64]) -> float:
    """Mean Dice of the foreground classes that either mask has, from pixels ``[classes, classes]``."""
    either = (confusion.sum(axis=0) + confusion.sum(axis=1))[1:] > 0
    return float(overlap.dice(confusion)[1:][either].mean()) if either.any() else 1.0


def _not_finite(logits: NDArray[Any]) -> int:
    """Images (windows) with a logit that is not finite."""
    return sum(
        int((~np.isfinite(logits[rows])).reshape(rows.stop - rows.start, -1).any(axis=1).sum())
        for rows in _blocks(logits)
    )


def _blocks(logits: NDArray[Any]) -> Iterator[slice]:
    """Slices of images that together hold about ``_BLOCK`` logits, and at least one image."""
    images = logits.shape[0]
    step = max(1, _BLOCK * images // max(1, logits.size))
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))
