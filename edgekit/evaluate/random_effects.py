"""A figure over processes: what differs between them, apart from the noise within each.

Random-effects model of meta-analysis: process i has its own true value, drawn about a common mean with variance
tau^2, and its median is known up to the variance v_i. DerSimonian and Laird 1986 for tau^2; Hartung and Knapp 2001
for the interval of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import InputError
from edgekit.evaluate.dependence import effective_samples
from edgekit.evaluate.repeats import student_t
from edgekit.evaluate.statistics import median_interval

_HALF_WIDTHS = 1.959964  # standard errors from the middle to an end of a 95 % interval
#: Least relative standard error of a process's median: a coarse clock gives equal samples and a variance of 0.
_LEAST_ERROR = 1e-4


@dataclass(frozen=True)
class RandomEffects:
    """What the processes say together.

    Attributes:
        mean: of the processes, in their unit.
        low: lower end of its 95 % interval, which holds what differs between processes.
        high: upper end.
        between_std: tau, the standard deviation between processes; 0 where the noise within explains all.
        within_std: root mean square of the processes' own standard errors.
        k: number of processes.
    """

    mean: float
    low: float
    high: float
    between_std: float
    within_std: float
    k: int


def combine(values: Sequence[float], variances: Sequence[float]) -> RandomEffects:
    """The model for ``values`` whose own variances are known.

    Raises:
        InputError: fewer than two values, or a variance that is not above 0.
    """
    k = len(values)
    if k < 2 or len(variances) != k:
        raise InputError("a variance between processes needs at least two of them")
    if min(variances) <= 0 or not all(map(math.isfinite, (*values, *variances))):
        raise InputError("a process's variance is not above 0")
    fixed = [1.0 / v for v in variances]
    centre = _weighted(values, fixed)
    q = math.fsum(w * (y - centre) ** 2 for w, y in zip(fixed, values, strict=True))
    total = math.fsum(fixed)
    scale = total - math.fsum(w * w for w in fixed) / total
    tau2 = max(0.0, (q - (k - 1)) / scale)
    weights = [1.0 / (v + tau2) for v in variances]
    mean = _weighted(values, weights)
    spread = math.fsum(w * (y - mean) ** 2 for w, y in zip(weights, values, strict=True))
    half = student_t(k - 1) * math.sqrt(spread / ((k - 1) * math.fsum(weights)))
    within = math.sqrt(math.fsum(variances) / k)
    return RandomEffects(mean, mean - half, mean + half, math.sqrt(tau2), within, k)


def of_processes(processes: Sequence[Sequence[float]]) -> RandomEffects | None:
    """The model for the medians of each process's samples; none with fewer than two, or too few samples in one.

    A median's standard error is taken from its order-statistic interval, for as many independent samples as the
    autocorrelation leaves.
    """
    if len(processes) < 2:
        return None
    medians, variances = [], []
    for one in processes:
        middle, low, high = median_interval(one, effective_samples(one))
        if low is None or high is None:
            return None
        error = max((high - low) / 2 / _HALF_WIDTHS, _LEAST_ERROR * middle)
        medians.append(middle)
        variances.append(error**2)
    return combine(medians, variances)


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(w * y for w, y in zip(weights, values, strict=True)) / math.fsum(weights)
