"""The smallest fall that a number of images could have shown: what "no difference was found" is worth."""

from __future__ import annotations

import functools

import numpy as np

from edgekit.errors import missing_package

ALPHA = 0.05
POWER = 0.8
#: Bisection steps: a drop to within 1e-4.
_STEPS = 14
#: Numbers of changed images that are together less likely than this are left out.
_TAIL = 1e-9


@functools.lru_cache(maxsize=4096)
def smallest_drop(images: int, churn: int) -> float | None:
    """The smallest drop of a share that McNemar's exact test (two-sided, 5 %) finds with 80 % probability.

    Args:
        images: n.
        churn: images that change sides whatever the drop, half of them to either side: twice the smaller of those
            lost and won. Each makes the test blinder.

    Returns:
        A share, 0 to 1; none where not even the loss of every image would be found, as with fewer than 6.

    Raises:
        MissingError: scipy is not installed.
    """
    noise = min(1.0, churn / images)
    if _found(images, noise, 1.0 - noise) < POWER:
        return None
    low, high = 0.0, 1.0 - noise
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if _found(images, noise, middle) >= POWER else (middle, high)
    return high


def _found(images: int, noise: float, drop: float) -> float:
    """Probability that the test refuses equality when shares noise / 2 + drop are lost and noise / 2 won."""
    try:
        from scipy.stats import binom
    except ImportError:
        raise missing_package("scipy", "data") from None
    changed = noise + drop
    if changed <= 0.0:
        return 0.0
    first, last = (int(binom.ppf(tail, images, min(1.0, changed))) for tail in (_TAIL, 1.0 - _TAIL))
    counts = np.arange(max(1, first), last + 1)
    # The test refuses from this many on one side on; below 6 changed images it never does.
    least = binom.isf(ALPHA / 2.0, counts, 0.5) + 1.0
    lost = (noise / 2.0 + drop) / changed
    refused = binom.sf(least - 1.0, counts, lost) + binom.cdf(counts - least, counts, lost)
    return float((binom.pmf(counts, images, min(1.0, changed)) * refused).sum())
