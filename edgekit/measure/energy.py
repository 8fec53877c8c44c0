"""Joules per inference: an idle window, then busy ones, and the difference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import DeviceError, InputError
from edgekit.measure.meters import External, Meter, Reading

#: A window must be at least this many update periods long, so that the meter's granularity is below 5 %.
LEAST_UPDATES = 20
#: Busy windows of a process: their spread is what one process can tell of the figure's uncertainty.
WINDOWS = 3
#: Seconds of a window, for a meter whose update period does not ask for longer ones.
LEAST_WINDOW_S = 0.5
#: Seconds between the work and the idle window, in which the runtime's threads fall asleep.
_SETTLE_S = 0.2


@dataclass(frozen=True)
class Span:
    """One window.

    Attributes:
        start_utc_s: its beginning, seconds since 1970, by which an external meter's rows are found.
        seconds: its length.
        count: inferences in it; 0 when idle.
        reading: what the meter says; none where that is known later.
    """

    start_utc_s: float
    seconds: float
    count: int
    reading: Reading | None


@dataclass(frozen=True)
class Windows:
    """The windows of one process. ``idle`` is none for an estimate, which knows no idle power."""

    idle: Span | None
    busy: tuple[Span, ...]


@dataclass(frozen=True)
class Joules:
    """Energy of one busy window.

    Attributes:
        joules_per_inference: (busy_j - idle_w * window_s) / count. It may be below 0 where the work costs less
            than the noise of the idle power; it is not clipped.
        idle_w: mean power of the idle window; none for an estimate.
        busy_j: joules of the busy window, idle power included.
        count: inferences in it.
        window_s: its length.
        idle_s: length of the idle window; none for an estimate.
    """

    joules_per_inference: float
    idle_w: float | None
    busy_j: float
    count: int
    window_s: float
    idle_s: float | None


def window_s(update_period_s: float) -> float:
    """Seconds that a window must be long for a meter with this update period."""
    return max(LEAST_WINDOW_S, LEAST_UPDATES * update_period_s)


def windows_of(meter: Meter | External, run: Callable[[], object], seconds: float, count: int = WINDOWS) -> Windows:
    """Wait for one idle window, then call ``run`` (one inference) again and again for ``count`` busy ones.

    Raises:
        InputError: a window is shorter than ``LEAST_UPDATES`` update periods of the meter.
        DeviceError: the meter cannot be read.
    """
    period_s = meter.period_s if isinstance(meter, External) else meter.update_period_s
    least = LEAST_UPDATES * period_s
    if seconds < least:
        raise InputError(
            f"a window of {seconds} s is too short for {meter.source}", remedy=f"use at least {least:g} s"
        )
    if isinstance(meter, External):
        return Windows(_idle(None, seconds), tuple(_busy(None, run, seconds) for _ in range(count)))
    idle = None if meter.estimated else _idle(meter, seconds)
    return Windows(idle, tuple(_busy(meter, run, seconds) for _ in range(count)))


def _idle(meter: Meter | None, seconds: float) -> Span:
    time.sleep(_SETTLE_S)
    return _window(meter, lambda: time.sleep(seconds), 0, seconds)


def _busy(meter: Meter | None, run: Callable[[], object], seconds: float) -> Span:
    return _window(meter, run, None, seconds)


def _window(meter: Meter | None, run: Callable[[], object], counted: int | None, seconds: float) -> Span:
    """One window; ``counted`` stands for the number of inferences where ``run`` is none."""
    if meter is not None:
        meter.start()
    utc, start, count = time.time(), time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run()
        count += 1
        if meter is not None:
            meter.keep()
    length = time.perf_counter() - start
    reading = None if meter is None else meter.stop()
    return Span(utc, length, count if counted is None else counted, reading)


def joules_of(windows: Windows, source: str) -> list[Joules]:
    """The energy of each busy window.

    Raises:
        DeviceError: the meter stood still, or has no reading of a window.
    """
    spans = [*([windows.idle] if windows.idle else []), *windows.busy]
    readings = [one.reading for one in spans if one.reading is not None]
    if len(readings) < len(spans):
        raise DeviceError(f"{source} has no reading of a window")
    still = [span for span, reading in zip(spans, readings, strict=True) if reading.joules <= 0.0]
    if still or not any(reading.moved for reading in readings):
        seconds = sum(span.seconds for span in still or spans)
        raise DeviceError(f"{source} stood still for {seconds:.1f} s: it does not measure this machine")
    idle_w = idle_s = None
    if windows.idle is not None and windows.idle.reading is not None:
        idle_s = windows.idle.seconds
        idle_w = windows.idle.reading.joules / idle_s
    found = []
    for span in windows.busy:
        busy_j = span.reading.joules if span.reading is not None else 0.0
        net_j = busy_j - (idle_w or 0.0) * span.seconds
        found.append(Joules(net_j / span.count, idle_w, busy_j, span.count, span.seconds, idle_s))
    return found


def aligned(meter: External, windows: Windows) -> Windows:
    """``windows`` with the readings of an external meter's file.

    Raises:
        DeviceError: the file does not cover them, or cannot be read.
    """

    def read(span: Span) -> Span:
        found = meter.reading(span.start_utc_s, span.start_utc_s + span.seconds, LEAST_UPDATES)
        return Span(span.start_utc_s, span.seconds, span.count, found)

    last = windows.busy[-1]
    meter.wait_for(last.start_utc_s + last.seconds)
    return Windows(read(windows.idle) if windows.idle else None, tuple(read(one) for one in windows.busy))


def plain(spans: Sequence[Mapping[str, Any]]) -> Windows:
    """Windows without readings, from their JSON form: the idle one first."""
    made = [Span(one["start_utc_s"], one["seconds"], one["count"], None) for one in spans]
    return Windows(made[0], tuple(made[1:]))
