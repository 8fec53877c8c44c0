"""Energy from a power sensor: read at a fixed period beside the work, and integrated.

The fallback where there is no counter. A thread reads the sensor, since reading between inferences would only see
the moments at which nothing runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edgekit.errors import DeviceError
from edgekit.measure.meters.base import Reading


def integrate(times_s: list[float], watts: list[float]) -> float:
    """Joules under the line through the samples (trapezoidal rule)."""
    steps = zip(times_s, times_s[1:], watts, watts[1:], strict=False)
    return sum((after - before) * (w0 + w1) / 2 for before, after, w0, w1 in steps)


class Sampled:
    """A power sensor that is read every ``period_s``, and at both ends of a window."""

    estimated = False

    def __init__(
        self, source: str, scope: str, read_w: Callable[[], float], period_s: float, update_period_s: float
    ) -> None:
        """
        Args:
            source: see ``Meter``; the period is added to it.
            scope: see ``Meter``.
            read_w: watts now. It may raise OSError, ValueError or DeviceError.
            period_s: seconds between two readings.
            update_period_s: how often the sensor itself has a new value, at worst.
        """
        self.source = f"{source}, power sampled every {period_s * 1e3:g} ms"
        self.scope = scope
        self.update_period_s = max(update_period_s, period_s)
        self._read_w = read_w
        self._period_s = period_s
        self._times: list[float] = []
        self._watts: list[float] = []
        self._error: Exception | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """See ``Meter``."""
        self._times, self._watts, self._error = [], [], None
        self._done.clear()
        self._sample()
        self._thread = threading.Thread(target=self._follow, name="power sensor", daemon=True)
        self._thread.start()

    def keep(self) -> None:
        """See ``Meter``; the thread reads by itself."""

    def stop(self) -> Reading:
        """See ``Meter``."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        self._sample()
        if self._error is not None:
            raise DeviceError(f"{self.source} cannot be read any more: {self._error}") from self._error
        return Reading(integrate(self._times, self._watts), len(set(self._watts)) > 1)

    def _follow(self) -> None:
        while not self._done.wait(self._period_s) and self._error is None:
            self._sample()

    def _sample(self) -> None:
        try:
            watts = self._read_w()
        except (OSError, ValueError, DeviceError) as error:
            self._error = error
            return
        self._times.append(time.monotonic())
        self._watts.append(watts)
