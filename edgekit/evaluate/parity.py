"""Does an exported artifact still compute what its source computes? Both see the same real images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgekit.errors import InputError


@dataclass(frozen=True)
class Parity:
    """How far an artifact's logits are from its source's.

    Attributes:
        max_abs: largest absolute difference of a logit, over images and classes.
        relative: ``max_abs`` divided by the largest absolute logit of the source.
        argmax_agreement: share of images, 0 to 1, for which both name the same class.
        images: number of images compared.
        problem: why the three figures are none; none when they are there.
    """

    max_abs: float | None
    relative: float | None
    argmax_agreement: float | None
    images: int
    problem: str | None = None


def compare(source_logits: ArrayLike, artifact_logits: ArrayLike) -> Parity:
    """Compare logits ``[n, classes]`` of the source and of the artifact on the same images.

    Every image whose argmax differs counts as a disagreement, however close its two best classes are, and of
    equal logits the first one is taken, as a program that ships the artifact would. No allowance is made for
    near-ties: whoever uses the artifact gets the other class. (A float artifact flips only where the two best
    logits of the source lie within twice ``max_abs``, so on trained models that is rare.)

    Raises:
        InputError: the source's logits are not finite or not ``[n, classes]``.
    """
    source = np.asarray(source_logits, dtype=np.float64)
    artifact = np.asarray(artifact_logits, dtype=np.float64)
    if source.ndim != 2 or 0 in source.shape:
        raise InputError(f"the source's logits must be [images, classes] and not empty (got {list(source.shape)})")
    images = source.shape[0]
    if not bool(np.isfinite(source).all()):
        raise InputError(
            f"the source's logits are not finite for {_not_finite(source)} images",
            remedy="check the weights and the preprocessing",
        )
    if artifact.shape != source.shape:
        wrong = f"the artifact's logits are {list(artifact.shape)}, the source's {list(source.shape)}"
        return Parity(None, None, None, images, wrong)
    if not bool(np.isfinite(artifact).all()):
        wrong = f"the artifact's logits are not finite (NaN or infinite) for {_not_finite(artifact)} images"
        return Parity(None, None, None, images, wrong)
    scale = float(np.abs(source).max())
    if scale == 0.0:
        return Parity(None, None, None, images, "all logits of the source are 0, so nothing can be compared")
    max_abs = float(np.abs(source - artifact).max())
    agreement = float((source.argmax(axis=1) == artifact.argmax(axis=1)).mean())
    return Parity(max_abs, max_abs / scale, agreement, images)


def _not_finite(logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """``"3 of 64"``: images with a logit that is not finite."""
    return f"{int((~np.isfinite(logits)).any(axis=1).sum())} of {logits.shape[0]}"
