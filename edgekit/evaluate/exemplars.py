"""Compression-identified exemplars: images of which a population of compressed models says something else.

Hooker et al., "What Do Compressed Deep Neural Networks Forget?" (2019), compare the label that most models of a
population predict; Holste et al., "How Does Pruning Impact Long-Tailed Multi-Label Medical Image Classifiers?"
(2023), the order of the classes in the mean predictions of the two populations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, missing_package

#: Holste's share of the images.
SHARE = 0.05
#: With two classes the ranks say only which is first, as Hooker's labels do.
LEAST_CLASSES = 3

Floats = NDArray[np.float64]


def hooker(before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.int64]:
    """Images whose modal label differs.

    Where several labels are equally frequent, the image counts only when the two populations have none of theirs in
    common: a tie within a population is no change.

    Args:
        before: predicted classes ``[models, n]`` of the source's population.
        after: ``[models, n]`` of the compressed one; the number of models may differ.

    Returns:
        Places, ascending.
    """
    _check(before.shape, after.shape, 2)
    classes = int(max(before.max(), after.max())) + 1
    modal = []
    for population in (before, after):
        counts = np.stack([(population == k).sum(axis=0) for k in range(classes)])
        modal.append(counts == counts.max(axis=0))
    return np.flatnonzero(~(modal[0] & modal[1]).any(axis=0))


def holste(before: Floats, after: Floats) -> NDArray[np.int64]:
    """The 5 % of images with the lowest rank correlation (Spearman) between the mean predictions.

    Of images with equal correlation those come first whose mean predictions lie further apart. An image whose
    classes stand in the same order in both is never among them.

    Args:
        before: probabilities ``[models, n, classes]`` of the source's population.
        after: of the compressed one.

    Returns:
        Places, ascending.

    Raises:
        InputError: fewer than three classes.
        MissingError: scipy is not installed.
    """
    _check(before.shape, after.shape, 3)
    if before.shape[2] < LEAST_CLASSES:
        raise InputError(f"a rank correlation over {before.shape[2]} classes says only which is first")
    means = before.mean(axis=0), after.mean(axis=0)
    correlation = spearman(*means)
    apart = np.abs(means[0] - means[1]).sum(axis=1)
    order = np.lexsort((-apart, correlation))[: max(1, round(SHARE * len(correlation)))]
    return np.sort(order[correlation[order] < 1.0 - 1e-9])


def spearman(first: Floats, second: Floats) -> Floats:
    """Rank correlation ``[n]`` of the rows of two arrays ``[n, classes]``; 1 where a row is all ties."""
    try:
        from scipy.stats import rankdata
    except ImportError:
        raise missing_package("scipy", "data") from None
    ranks = [np.asarray(rankdata(one, axis=1), dtype=np.float64) for one in (first, second)]
    centred = [one - one.mean(axis=1, keepdims=True) for one in ranks]
    size = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    product = (centred[0] * centred[1]).sum(axis=1)
    correlation: Floats = np.divide(product, size, out=np.ones_like(product), where=size > 0)
    return correlation


@dataclass(frozen=True)
class Prevalence:
    """How common some images are in one group.

    Attributes:
        group: name of the class or subgroup.
        chosen: images of the group that are among them.
        images: of the group.
        ratio: their share in the group over that in all other images; none where no other image is among them.
    """

    group: str
    chosen: int
    images: int
    ratio: float | None


def prevalence(chosen: Sequence[int], groups: Sequence[str]) -> list[Prevalence]:
    """How much commoner the images ``chosen`` are in each group than in the rest, the commonest first.

    Args:
        chosen: places.
        groups: of each image.
    """
    names = np.asarray(groups, dtype=object)
    among = np.zeros(names.size, dtype=bool)
    among[list(chosen)] = True
    found = []
    for name in dict.fromkeys(groups):
        mine = names == name
        own, others = int((among & mine).sum()), int((among & ~mine).sum())
        rest = int((~mine).sum())
        ratio = (own / int(mine.sum())) / (others / rest) if others else None
        found.append(Prevalence(name, own, int(mine.sum()), ratio))
    return sorted(found, key=lambda one: -one.chosen / one.images)


def _check(before: tuple[int, ...], after: tuple[int, ...], dimensions: int) -> None:
    if len(before) != dimensions or before[1:] != after[1:] or not (min(before) and min(after)):
        raise InputError(f"two populations of shapes {list(before)} and {list(after)} cannot be compared")
