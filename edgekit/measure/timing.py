"""The loop that times runs, and what the operating system counted meanwhile."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.measure import process
from edgekit.runtimes.null import NullSession

#: Timed runs of one image before the next is taken.
BLOCK = 20
#: Runs that the harness's own cost is taken from.
_HARNESS_RUNS = 200
#: Bytes; an input that lies across them costs some kernels one to two percent.
_CACHE_LINE = 64


@dataclass(frozen=True)
class Timed:
    """Timed runs in their order, and what was seen while they lasted.

    Attributes:
        samples_s: wall time of each, nothing left out.
        cpu_s: CPU time of the process, all threads.
        wall_s: of all timed runs together, with what lies between them.
        switches: involuntary context switches, all threads.
        steal_ticks: what the hypervisor took; none: not readable.
        throttled: how often the control group's CPU quota held the process; none: not readable.
        clock_mhz: mean clock of the process's cores before and after; none: not readable.
        temperature_c: hottest thermal zone before and after; none: not readable.
    """

    samples_s: tuple[float, ...]
    cpu_s: float
    wall_s: float
    switches: int
    steal_ticks: int | None
    throttled: int | None
    clock_mhz: tuple[float | None, float | None]
    temperature_c: tuple[float | None, float | None]


def timed(
    run: Callable[[NDArray[np.float32]], object], batches: Sequence[NDArray[np.float32]], warmup: int, runs: int
) -> Timed:
    """Time ``runs`` calls of ``run`` after ``warmup`` others.

    ``run`` is always given the same place in memory. The next of ``batches`` is written there before each call of
    the warm-up, and before each block of ``BLOCK`` timed calls, which begins with one that is not timed: the timed
    ones find the input where the runtimes' own tools have it, in the caches of the cores that read it.
    """
    place = _aligned(batches[0])
    turn = itertools.cycle(batches)
    samples_ns = [0] * runs
    clock, copy = time.perf_counter_ns, np.copyto
    # Collecting takes milliseconds, in which the runtime's threads fall asleep: before the warm-up, not after it.
    gc.collect()
    gc.disable()
    try:
        for _ in range(warmup - 1):
            copy(place, next(turn))
            run(place)
        # The clock of every core takes as long to read; the last warm-up run wakes the threads again.
        heat, mhz = process.temperature_c(), process.clock_mhz()
        copy(place, next(turn))
        run(place)
        switches, steal = process.involuntary_switches(), process.steal_ticks()
        throttled = process.throttled()
        cpu, wall = time.process_time(), time.perf_counter()
        for index in range(runs):
            if index % BLOCK == 0:
                copy(place, next(turn))
                run(place)
            start = clock()
            run(place)
            samples_ns[index] = clock() - start
        wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        return Timed(
            samples_s=tuple(ns / 1e9 for ns in samples_ns),
            cpu_s=cpu_s,
            wall_s=wall_s,
            switches=process.involuntary_switches() - switches,
            steal_ticks=_since(steal, process.steal_ticks()),
            throttled=_since(throttled, process.throttled()),
            clock_mhz=(mhz, process.clock_mhz()),
            temperature_c=(heat, process.temperature_c()),
        )
    finally:
        gc.enable()


def _aligned(like: NDArray[np.float32]) -> NDArray[np.float32]:
    """An empty array of that shape which begins with a cache line, as the memory that a runtime gives out does."""
    memory = np.empty(like.nbytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + like.nbytes].view(np.float32).reshape(like.shape)


def harness_s(batches: Sequence[NDArray[np.float32]]) -> float:
    """p50 of what the loop itself adds to a run: the null runtime, timed as any other."""
    return float(np.median(timed(NullSession().run, batches[:1], 2, _HARNESS_RUNS).samples_s))


def _since(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
