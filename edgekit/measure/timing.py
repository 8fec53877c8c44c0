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
#: Seconds of runs that are not timed where other processes had their turn before: ONNX Runtime's threads, once they
#: slept, work together again after some 20 ms only.
AWAKE_S = 0.05
#: Seconds after which a turn ends with its block.
TURN_S = 0.02
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


@dataclass(frozen=True)
class _Counted:
    """What has been counted, see ``Timed``, at one moment or between two."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    switches: int = 0
    steal_ticks: int | None = 0
    throttled: int | None = 0

    @classmethod
    def now(cls) -> _Counted:
        switches, steal, throttled = process.involuntary_switches(), process.steal_ticks(), process.throttled()
        return cls(time.perf_counter(), time.process_time(), switches, steal, throttled)

    def __sub__(self, before: _Counted) -> _Counted:
        return self._with(before, -1)

    def __add__(self, more: _Counted) -> _Counted:
        return self._with(more, 1)

    def _with(self, other: _Counted, sign: int) -> _Counted:
        return _Counted(
            self.wall_s + sign * other.wall_s,
            self.cpu_s + sign * other.cpu_s,
            self.switches + sign * other.switches,
            _sum(self.steal_ticks, other.steal_ticks, sign),
            _sum(self.throttled, other.throttled, sign),
        )


def timed(
    run: Callable[[NDArray[np.float32]], object],
    batches: Sequence[NDArray[np.float32]],
    warmup: int,
    runs: int,
    over: Callable[[], None] | None = None,
) -> Timed:
    """Time ``runs`` calls of ``run`` after ``warmup`` others.

    ``run`` is always given the same place in memory. The next of ``batches`` is written there before each call of
    the warm-up, and before each block of ``BLOCK`` timed calls, which begins with one that is not timed: the timed
    ones find the input where the runtimes' own tools have it, in the caches of the cores that read it.

    ``over`` is called before a block where the last call was some time ago, and returns when other processes have
    had their turn; what happens meanwhile is in none of the figures.
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
        spent, begun = _Counted(), _Counted.now()
        mine_until = 0.0
        for index in range(runs):
            if index % BLOCK == 0:
                if over is not None and time.perf_counter() >= mine_until:
                    spent += _Counted.now() - begun
                    over()
                    awake = time.perf_counter() + AWAKE_S
                    while time.perf_counter() < awake:
                        run(place)
                    begun, mine_until = _Counted.now(), time.perf_counter() + TURN_S
                copy(place, next(turn))
                run(place)
            start = clock()
            run(place)
            samples_ns[index] = clock() - start
        spent += _Counted.now() - begun
        return Timed(
            samples_s=tuple(ns / 1e9 for ns in samples_ns),
            cpu_s=spent.cpu_s,
            wall_s=spent.wall_s,
            switches=spent.switches,
            steal_ticks=spent.steal_ticks,
            throttled=spent.throttled,
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


def _sum(one: int | None, other: int | None, sign: int) -> int | None:
    return None if one is None or other is None else one + sign * other
