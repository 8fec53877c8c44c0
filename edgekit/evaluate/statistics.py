"""Statistics of latency samples, derived from the raw samples when they are shown. numpy only.

Percentiles come with distribution-free intervals from order statistics, and are "allowed" only from the number
of samples that MLPerf's early stopping asks for. Nothing is clipped.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError

CONFIDENCE = 0.95
#: MLPerf Inference rules, early stopping: the confidence with which a percentile must be bounded.
EARLY_STOPPING_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Quantile:
    """A quantile of samples, in their unit.

    Attributes:
        value: the sample quantile (linear interpolation, as ``numpy.quantile``).
        low: lower end of the 95 % interval; none when there are too few samples to bound it.
        high: upper end; none likewise.
        n: number of samples.
        allowed: whether ``n`` reaches ``least_n``, so that the figure may be printed.
        least_n: fewest samples with which this quantile may be printed.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    allowed: bool
    least_n: int


class BetweenProcesses(TypedDict):
    """How much a figure moves from one fresh process to the next.

    ``medians_s``: median of each process. ``std_s``: standard deviation between them (n - 1); none with fewer
    than two processes. ``spread_percent``: largest less smallest median, in percent of the median of all.
    """

    medians_s: list[float]
    std_s: float | None
    spread_percent: float | None


def finite(samples: ArrayLike) -> NDArray[np.float64]:
    """``samples`` as an array ``[n]``; InputError for none, or one that is not finite."""
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise InputError("statistics need a list of at least one sample")
    if not bool(np.isfinite(values).all()):
        raise InputError("a sample is not finite", remedy="the record was altered")
    return values


def log_binomial(k: int, n: int, p: float) -> float:
    """Log of the probability of ``k`` successes among ``n``; 0 < p < 1."""
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(p) + (n - k) * math.log1p(-p)


@functools.cache
def least_samples(q: float) -> int:
    """Fewest samples with which quantile ``q`` (0 < q < 1) may be printed: 11, 64, 662 for 0.5, 0.9, 0.99.

    MLPerf's early stopping estimates a percentile by an order statistic that lies above the true one with 99 %
    confidence, and it needs at least one slower sample above that estimate. The number of n samples slower than
    the true quantile is Binomial(n, 1 - q); the second-largest sample is an upper bound unless at most one is
    slower. So this is the smallest n with P(Binomial(n, 1 - q) <= 1) <= 0.01.
    """
    _check_quantile(q)
    tail = 1.0 - EARLY_STOPPING_CONFIDENCE
    n = 2
    while math.exp(log_binomial(0, n, 1.0 - q)) + math.exp(log_binomial(1, n, 1.0 - q)) > tail:
        n += 1
    return n


def _check_quantile(q: float) -> None:
    if not 0.0 < q < 1.0:
        raise InputError(f"a quantile must lie between 0 and 1, both excluded (got {q})")


@functools.cache
def _ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """Ranks (1 to n) of the two order statistics that hold quantile ``q`` with at least 95 % confidence.

    With B ~ Binomial(n, q) samples below the true quantile, rank r lies above it with P(B < r). The lower rank is
    the largest with P(B < r) <= 2.5 %, the upper the smallest with P(B < r) >= 97.5 %.
    """
    tail = (1.0 - CONFIDENCE) / 2.0
    low: int | None = None
    below = 0.0
    for rank in range(1, n + 1):
        below += math.exp(log_binomial(rank - 1, n, q))
        if below <= tail:
            low = rank
        if below >= 1.0 - tail:
            return low, rank
    return low, None


def quantile(samples: ArrayLike, q: float) -> Quantile:
    """Quantile ``q`` of samples ``[n]``, with its 95 % interval from order statistics.

    The interval assumes independent samples of one distribution and nothing else about it.

    Raises:
        InputError: no samples, samples that are not finite, or ``q`` outside 0 to 1.
    """
    values = np.sort(finite(samples))
    _check_quantile(q)
    n = int(values.size)
    low, high = _ranks(n, q)
    least = least_samples(q)
    return Quantile(
        value=float(np.quantile(values, q)),
        low=None if low is None else float(values[low - 1]),
        high=None if high is None else float(values[high - 1]),
        n=n,
        allowed=n >= least,
        least_n=least,
    )


def median_interval(samples: ArrayLike, independent: float) -> tuple[float, float | None, float | None]:
    """Median of samples ``[n]`` with its 95 % interval, as of ``independent`` samples (at most n) of their kind.

    The ranks of ``quantile`` for so many samples, taken as shares of the samples that there are.

    Returns:
        median, low, high; an end is none where so few samples do not bound it.
    """
    values = np.sort(finite(samples))
    n = max(1, min(int(independent), int(values.size)))
    ranks = _ranks(n, 0.5)
    # Hazen's definition gives the order statistic itself where n is the number of samples.
    ends = [
        None if rank is None else float(np.quantile(values, (rank - 0.5) / n, method="hazen")) for rank in ranks
    ]
    return float(np.median(values)), ends[0], ends[1]


def between_process(processes: Sequence[Sequence[float]]) -> BetweenProcesses:
    """Medians of each process's samples (seconds), and how far they lie apart.

    Raises:
        InputError: no process, or one without samples.
    """
    if not processes:
        raise InputError("statistics between processes need at least one process")
    medians = [float(np.median(finite(one))) for one in processes]
    if len(medians) < 2:
        return BetweenProcesses(medians_s=medians, std_s=None, spread_percent=None)
    return BetweenProcesses(
        medians_s=medians,
        std_s=float(np.std(medians, ddof=1)),
        spread_percent=float((max(medians) - min(medians)) / np.median(medians) * 100.0),
    )


def speedup(
    base: Sequence[Sequence[float]], other: Sequence[Sequence[float]], resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """How many times faster ``other`` is than ``base``: ratio of p50 over all samples, with a 95 % interval.

    The interval is a two-level bootstrap: processes are drawn with replacement, then samples within each. Where
    both have the same number of processes, process i of one ran beside process i of the other, so the same
    processes are drawn for both and a change of the machine's speed between rounds cancels. With few processes
    the interval is narrower than the truth, and with one it holds nothing of what differs between processes.

    Args:
        base: samples (seconds) of each process.
        other: the same for the one that is compared.
        resamples: number of bootstrap resamples.
        seed: of their draw.

    Returns:
        ratio, low, high.

    Raises:
        InputError: no process, or one without samples, or a median of 0.
    """
    sides = _sides(base, other)
    centre = [float(np.median(np.concatenate(side))) for side in sides]
    _check_positive(centre)
    rng = np.random.default_rng(seed)
    counts = [len(side) for side in sides]
    first = rng.integers(0, counts[0], (resamples, counts[0]))
    drawn = [first, first if counts[0] == counts[1] else rng.integers(0, counts[1], (resamples, counts[1]))]
    ratios = np.empty(resamples)
    for row in range(resamples):
        medians = []
        for side, processes in zip(sides, drawn, strict=True):
            parts = [side[p][rng.integers(0, side[p].size, side[p].size)] for p in processes[row]]
            medians.append(np.median(np.concatenate(parts)))
        ratios[row] = medians[0] / medians[1]
    return centre[0] / centre[1], *_interval(ratios)


def speedup_in_turn(
    base: Sequence[Sequence[float]], other: Sequence[Sequence[float]], resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """How many times faster ``other`` is than ``base`` where both ran in turn: the median of the rounds' ratios.

    The ratio of two medians over all rounds (``speedup``) goes wrong where the machine changed its speed about
    half way: the one may have its median in a slow round and the other in a fast one. Within a round both ran at
    the same speed. Rounds that only one of them has do not count.

    Args:
        base: samples (seconds) of each process, round by round.
        other: the same for the one that is compared.
        resamples: number of bootstrap resamples, of the rounds and of the samples within each.
        seed: of their draw.

    Returns:
        ratio, low, high: the last two are the 95 % interval.

    Raises:
        InputError: no process, or one without samples, or a median of 0.
    """
    both = min(len(base), len(other))
    sides = _sides(base[:both], other[:both])
    centres = [[float(np.median(one)) for one in side] for side in sides]
    _check_positive([*centres[0], *centres[1]])
    rng = np.random.default_rng(seed)
    rounds = range(len(sides[0]))
    # Row r: the ratio of round r in each resample of its samples.
    medians = [
        [np.median(rng.choice(side[r], (resamples, side[r].size)), axis=1) for r in rounds] for side in sides
    ]
    within = np.stack(medians[0]) / np.stack(medians[1])
    drawn = rng.integers(0, len(rounds), (len(rounds), resamples))
    ratios = np.median(np.take_along_axis(within, drawn, axis=0), axis=0)
    centre = float(np.median([one / two for one, two in zip(*centres, strict=True)]))
    return centre, *_interval(ratios)


def _sides(base: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> list[list[NDArray[np.float64]]]:
    sides = [[finite(one) for one in side] for side in (base, other)]
    if not sides[0] or not sides[1]:
        raise InputError("a speed-up needs samples of both sides")
    return sides


def _check_positive(medians: Sequence[float]) -> None:
    if min(medians) <= 0.0:
        raise InputError("a latency of 0 s has no ratio", remedy="the clock is too coarse for this artifact")


def _interval(ratios: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    return float(low), float(high)
