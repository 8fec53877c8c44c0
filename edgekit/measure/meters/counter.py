"""Energy counters that are files of the kernel: microjoules that only grow, until they wrap."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.measure.meters.base import Reading, integer_of

#: No CPU package draws more than this many watts, so a counter cannot wrap in less than its range divided by it.
MOST_W = 1000.0


def difference(before: int, after: int, wrap: int) -> int:
    """Counts from ``before`` to ``after`` of a counter that starts again at 0 beyond ``wrap``, at most once."""
    return after - before if after >= before else after - before + wrap


class FileCounter:
    """The sum of counters in microjoules, each with the count at which it starts again at 0.

    Between two readings a counter may wrap once. ``keep`` therefore reads before it could wrap twice even at
    ``MOST_W``, and a window in which that came too late is refused.
    """

    estimated = False

    def __init__(
        self,
        source: str,
        scope: str,
        counters: Sequence[tuple[Path, int | None]],
        update_period_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            source: see ``Meter``.
            scope: see ``Meter``.
            counters: file, and its wrap in microjoules; none for one of 64 bits, which never wraps.
            update_period_s: see ``Meter``.
            clock: seconds that only grow.

        Raises:
            OSError: a counter cannot be read.
            ValueError: a counter holds no number.
        """
        self.source = source
        self.scope = scope
        self.update_period_s = update_period_s
        self._counters = tuple(counters)
        self._clock = clock
        wraps = [wrap for _, wrap in counters if wrap is not None]
        #: Seconds within which it must be read again.
        self.read_within_s = min(wraps) / 1e6 / MOST_W if wraps else float("inf")
        self._total_uj = 0
        self._last = [integer_of(path) for path, _ in self._counters]
        self._read_at = clock()

    def start(self) -> None:
        """See ``Meter``."""
        self._last = self._values()
        self._read_at = self._clock()
        self._total_uj = 0

    def keep(self) -> None:
        """See ``Meter``."""
        if self._clock() - self._read_at > self.read_within_s / 4:
            self._advance()

    def stop(self) -> Reading:
        """See ``Meter``."""
        self._advance()
        return Reading(self._total_uj / 1e6, self._total_uj > 0)

    def _advance(self) -> None:
        now, values = self._clock(), self._values()
        if now - self._read_at > self.read_within_s:
            raise DeviceError(
                f"the counter of {self.source} was not read for {now - self._read_at:.0f} s and may have wrapped "
                f"more than once: it must be read every {self.read_within_s:.0f} s, and one inference took longer"
            )
        for before, after, (path, wrap) in zip(self._last, values, self._counters, strict=True):
            if after < before and wrap is None:
                raise DeviceError(f"the counter {path} went back from {before} to {after}")
            self._total_uj += difference(before, after, wrap or 0)
        self._last, self._read_at = values, now

    def _values(self) -> list[int]:
        try:
            return [integer_of(path) for path, _ in self._counters]
        except (OSError, ValueError) as error:
            raise DeviceError(f"the counter of {self.source} cannot be read any more: {error}") from error
