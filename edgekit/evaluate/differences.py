"""What an artifact's figures differ from the source's by, on the same images, with 95 % intervals.

The interval of a share over images (accuracy, sensitivity, specificity) is Tango's score interval of the pairs, and
that of balanced accuracy is put together from the classes' by Zou and Donner's method (Statistics in Medicine 2008,
27:1693). A bootstrap has no width where no image changed sides, and would call 11 images proof of no difference.
Every other figure has the paired bootstrap: the same resamples for both models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluate.figures import Floats
from edgekit.evaluate.paired import Pairs
from edgekit.evaluate.power import smallest_drop

#: In the conditions of a measurement: what it differs from the source by.
KEY = "less_source"
#: A percentile bootstrap over fewer is too narrow to be called 95 %.
LEAST_UNITS = 10
BOOTSTRAP = "paired percentile bootstrap"
SCORE = "Tango's score interval of paired shares"
_MOVER = "from the score intervals of the classes (Zou and Donner 2008)"
_CLUSTERED = "; widened to the bootstrap over patients where that is wider"


class Difference(TypedDict, total=False):
    """The artifact's figure less the source's. The last six are there for shares over images only.

    ``smallest_drop`` is the smallest fall that the test finds with 80 % probability; none where no fall would be.
    """

    value: float
    interval: list[float] | None
    how: str
    images: int
    lost: int
    won: int
    mcnemar_p: float
    smallest_drop: float | None


def of_draws(after: Floats, before: Floats, units: int = LEAST_UNITS) -> Difference:
    """A difference with the interval of resamples that both figures share.

    Args:
        after: ``[1 + b]``, the artifact's figure, then that of each resample.
        before: the source's, of the same resamples.
        units: images, cases or patients that were resampled; of fewer than ``LEAST_UNITS`` there is no interval.
    """
    spread = after - before
    drawn = spread[1:][np.isfinite(spread[1:])] if units >= LEAST_UNITS else np.empty(0)
    ends = [float(end) for end in np.quantile(drawn, [0.025, 0.975])] if drawn.size else None
    return Difference(value=float(spread[0]), interval=ends, how=BOOTSTRAP)


def of_shares(
    before: NDArray[np.integer[Any]],
    after: NDArray[np.integer[Any]],
    labels: NDArray[Any],
    classes: Sequence[str],
    bootstrapped: Mapping[str, Difference],
    independent: bool,
) -> dict[str, Difference]:
    """The differences that are counted image by image, in place of those that were bootstrapped.

    Args:
        before: predicted classes ``[n]`` of the source.
        after: of the artifact.
        labels: ``[n]``.
        classes: names.
        bootstrapped: the differences by metric; only those found here are made again.
        independent: whether each image is of a patient of its own.
    """
    found: dict[str, Difference] = {}
    among = {"accuracy": (labels >= 0, before == labels, after == labels)}
    for k, one in enumerate(classes):
        mine = labels == k
        among[f"sensitivity/{one}"] = mine, before == k, after == k
        among[f"specificity/{one}"] = ~mine, before != k, after != k
    for metric, (whom, right_before, right_after) in among.items():
        if metric not in bootstrapped:
            continue
        pairs = Pairs(
            int(whom.sum()),
            int((whom & right_before & ~right_after).sum()),
            int((whom & ~right_before & right_after).sum()),
        )
        low, high = pairs.interval
        found[metric] = Difference(
            value=(pairs.won - pairs.lost) / pairs.images,
            interval=[-high, -low],
            how=SCORE,
            images=pairs.images,
            lost=pairs.lost,
            won=pairs.won,
            mcnemar_p=pairs.p,
            smallest_drop=smallest_drop(pairs.images, 2 * min(pairs.lost, pairs.won)),
        )
    if "balanced_accuracy" in bootstrapped:
        found["balanced_accuracy"] = _mover([found[f"sensitivity/{one}"] for one in classes])
    if not independent:
        return {metric: _widened(counted, bootstrapped[metric]) for metric, counted in found.items()}
    return found


def _mover(parts: Sequence[Difference]) -> Difference:
    """The mean of differences that are independent, each with its interval."""
    value = math.fsum(one["value"] for one in parts) / len(parts)
    ends = [one["interval"] or [math.nan, math.nan] for one in parts]
    down, up = (
        math.sqrt(math.fsum((one["value"] - end[side]) ** 2 for one, end in zip(parts, ends, strict=True)))
        / len(parts)
        for side in (0, 1)
    )
    return Difference(value=value, interval=[value - down, value + up], how=_MOVER)


def _widened(one: Difference, other: Difference) -> Difference:
    """Images of one patient are alike, which the score interval does not know."""
    own, drawn = one["interval"], other["interval"]
    made = Difference(**one)
    if own is not None and drawn is not None:
        made["interval"] = [min(own[0], drawn[0]), max(own[1], drawn[1])]
        made["how"] += _CLUSTERED
    return made
