"""Joules per inference: an idle window, then busy ones, and the difference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.errors import DeviceError, InputError
from edgekit.measure import meters
from edgekit.measure.meters import Absent, External, Meter, Reading
from edgekit.measure.protocol import Energy, EnergySpan, EnergyWindow

#: A window must be at least this many update periods long, so that the meter's granularity is below 5 %.
LEAST_UPDATES = 20
#: Busy windows of a process: their spread is what one process can tell of the figure's uncertainty.
WINDOWS = 3
#: Seconds of a window, for a meter whose update period does not ask for longer ones.
LEAST_WINDOW_S = 0.5
#: A sensor whose windows differ by less than this share, and that never changed in any, is taken to stand still.
_SAME = 0.01
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


def joules_of(windows: Windows, source: str) -> list[EnergyWindow]:
    """The energy of each busy window.

    Raises:
        DeviceError: the meter stood still, or has no reading of a window.
    """
    spans = [*([windows.idle] if windows.idle else []), *windows.busy]
    readings = [one.reading for one in spans if one.reading is not None]
    if len(readings) < len(spans):
        raise DeviceError(f"{source} has no reading of a window")
    still = [span for span, reading in zip(spans, readings, strict=True) if reading.joules <= 0.0]
    powers = [reading.joules / span.seconds for span, reading in zip(spans, readings, strict=True)]
    same = not any(reading.moved for reading in readings) and max(powers) - min(powers) <= _SAME * max(powers)
    if still or same:
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
        found.append(EnergyWindow(net_j / span.count, idle_w, busy_j, span.count, span.seconds, idle_s))
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


def measured(asked: str | Mapping[str, Any], gpu: bool, run: Callable[[], object]) -> Energy:
    """Joules per inference by the target's meter; a meter that is absent or fails costs no other figure.

    Args:
        asked: the target's ``energy_meter``.
        gpu: whether the artifact runs on an NVIDIA GPU.
        run: one inference.
    """
    meter = meters.find(asked, gpu=gpu)
    if isinstance(meter, Absent):
        return Energy(not_measured_reason=meter.reason)
    try:
        if isinstance(meter, External):
            windows = windows_of(meter, run, window_s(meter.period_s))
            spans = [*([windows.idle] if windows.idle else []), *windows.busy]
            given = tuple(EnergySpan(one.start_utc_s, one.seconds, one.count) for one in spans)
            return Energy(spans=given, source=meter.source, scope=meter.scope)
        windows = windows_of(meter, run, window_s(meter.update_period_s))
        found = tuple(joules_of(windows, meter.source))
    except DeviceError as error:
        return Energy(not_measured_reason=str(error))
    return Energy(windows=found, source=meter.source, scope=meter.scope, estimated=meter.estimated)


def read_external(asked: str | Mapping[str, Any], energy: Energy) -> Energy:
    """``energy`` with what the file of an external meter says of its windows; of another meter as it is.

    Read where edgekit runs, when the windows are over: that is where the meter's software writes it.
    """
    if not energy.spans or isinstance(asked, str):
        return energy
    meter = meters.find(asked)
    if not isinstance(meter, External):
        return energy
    idle, *busy = (Span(one.start_utc_s, one.seconds, one.count, None) for one in energy.spans)
    try:
        found = tuple(joules_of(aligned(meter, Windows(idle, tuple(busy))), meter.source))
    except DeviceError as error:
        return Energy(not_measured_reason=str(error))
    return Energy(windows=found, source=meter.source, scope=meter.scope)
