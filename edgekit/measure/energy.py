"""Joules per inference: an idle window, then a busy one, and the difference."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.errors import DeviceError, InputError
from edgekit.measure.meters import Meter

#: A window must be at least this many update periods long, so that the counter's granularity is below 5 %.
LEAST_UPDATES = 20


@dataclass(frozen=True)
class EnergyResult:
    """Energy of one busy window.

    Attributes:
        joules_per_inference: (busy_j - idle_w * window_s) / count. It may be below 0 where the work costs less
            than the noise of the idle power; it is not clipped.
        idle_w: mean power of the idle window.
        busy_j: joules of the busy window, idle power included.
        count: inferences in it.
        window_s: its length.
        idle_s: length of the idle window.
    """

    joules_per_inference: float
    idle_w: float
    busy_j: float
    count: int
    window_s: float
    idle_s: float


def energy_of(meter: Meter, run: Callable[[], object], window_s: float, idle_s: float) -> EnergyResult:
    """Measure idle power for ``idle_s``, then call ``run`` (one inference) again and again for ``window_s``.

    Raises:
        InputError: a window is shorter than ``LEAST_UPDATES`` update periods of the meter.
        DeviceError: the counter cannot be read, or did not move.
    """
    least = LEAST_UPDATES * meter.update_period_s
    if min(window_s, idle_s) < least:
        raise InputError(
            f"a window of {min(window_s, idle_s)} s is too short for {meter.source}",
            remedy=f"use at least {least:g} s",
        )
    idle_start, idle_before = time.perf_counter(), meter.read_j()
    time.sleep(idle_s)
    idle_after, idle_stop = meter.read_j(), time.perf_counter()
    idle_w = (idle_after - idle_before) / (idle_stop - idle_start)
    count = 0
    start, before = time.perf_counter(), meter.read_j()
    while time.perf_counter() - start < window_s:
        run()
        count += 1
    after, stop = meter.read_j(), time.perf_counter()
    busy_j = after - before
    if busy_j <= 0.0:
        raise DeviceError(
            f"the counter of {meter.source} did not move while the artifact ran for {stop - start:.1f} s"
        )
    net_j = busy_j - idle_w * (stop - start)
    return EnergyResult(net_j / count, idle_w, busy_j, count, stop - start, idle_stop - idle_start)
