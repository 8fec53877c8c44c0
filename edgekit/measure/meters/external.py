"""An external meter: the CSV file that its own software writes, aligned with the windows by the clock."""

from __future__ import annotations

import csv
import itertools
import math
import statistics
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.measure.meters.base import Reading
from edgekit.measure.meters.sampled import integrate

#: Devices may have Python 3.10, which has no datetime.UTC.
_UTC = timezone.utc  # noqa: UP017
#: How many times the usual distance two rows may lie apart in a window.
_GAP = 5.0


@dataclass(frozen=True)
class External:
    """How to read the file.

    Attributes:
        path: the CSV file, with a row of column names.
        time_column: seconds since 1970 (UTC), or ISO 8601; a time without a zone is UTC.
        power_column: watts.
        offset_s: added to the file's times to give UTC, where the meter's clock is wrong.
        period_s: between two rows, as the meter is set.
    """

    path: Path
    time_column: str
    power_column: str
    offset_s: float
    period_s: float

    @property
    def source(self) -> str:
        """See ``Meter``."""
        return f"external meter ({self.path.name}), power sampled every {self.period_s * 1e3:g} ms"

    scope = "all that the external meter feeds"

    def wait_for(self, until_utc_s: float, most_s: float = 10.0) -> None:
        """Let the meter's software write rows up to ``until_utc_s``, for ``most_s`` at most."""
        give_up = time.monotonic() + most_s
        while time.monotonic() < give_up:
            rows = self._rows()
            if rows and rows[-1][0] >= until_utc_s:
                return
            time.sleep(min(self.period_s, 0.5))

    def reading(self, start_utc_s: float, stop_utc_s: float, least: int) -> Reading:
        """Energy between two times, in seconds since 1970.

        Args:
            start_utc_s: of the window.
            stop_utc_s: its end.
            least: rows that must lie in it.

        Raises:
            DeviceError: the file cannot be read, does not cover the window, has a gap in it or too few rows.
        """
        rows = self._rows()
        if not rows or rows[0][0] > start_utc_s or rows[-1][0] < stop_utc_s:
            covers = f"{_utc(rows[0][0])} to {_utc(rows[-1][0])}" if rows else "nothing"
            raise DeviceError(
                f"{self.path} covers {covers}, and the window is {_utc(start_utc_s)} to {_utc(stop_utc_s)} (UTC); "
                "let the meter run during the whole measurement, and set 'offset_s' if its clock is wrong"
            )
        inside = [row for row in rows if start_utc_s < row[0] < stop_utc_s]
        if len(inside) < least:
            raise DeviceError(
                f"{self.path} has {len(inside)} rows in a window of {stop_utc_s - start_utc_s:.1f} s, and {least} "
                "are needed; let the meter write more often, and say so in 'period_s'"
            )
        ends = [(at, _between(rows, at)) for at in (start_utc_s, stop_utc_s)]
        whole = [ends[0], *inside, ends[1]]
        times = [at for at, _ in whole]
        steps = [after - before for before, after in itertools.pairwise(times)]
        usual = statistics.median(steps)
        if max(steps) > _GAP * usual:
            raise DeviceError(
                f"{self.path} has a gap of {max(steps):.2f} s in a window; its rows are {usual:.2f} s apart"
            )
        watts = [power for _, power in whole]
        return Reading(integrate(times, watts), len(set(watts)) > 1)

    def _rows(self) -> list[tuple[float, float]]:
        """Seconds since 1970 and watts, in order of time."""
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(f"cannot be read: {error}", where=str(self.path)) from None
        lines = text.splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()  # the meter is still writing it
        table = csv.DictReader(lines)
        columns = table.fieldnames or []
        for column in (self.time_column, self.power_column):
            if column not in columns:
                raise DeviceError(
                    f"has no column '{column}'",
                    where=f"{self.path}:1",
                    remedy=f"it has: {', '.join(columns) or 'none'}; name it in the target's energy_meter",
                )
        rows = []
        for row in table:
            try:
                rows.append((_seconds(row[self.time_column]) + self.offset_s, _watts(row[self.power_column])))
            except (TypeError, ValueError) as error:
                raise DeviceError(f"is no time and power: {error}", where=f"{self.path}:{table.line_num}") from None
        return sorted(rows)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        at = datetime.fromisoformat(text.strip())
        found = (at if at.tzinfo else at.replace(tzinfo=_UTC)).timestamp()
    if not math.isfinite(found):
        raise ValueError(f"'{text}'")
    return found


def _watts(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"'{text}'")
    return found


def _between(rows: list[tuple[float, float]], at: float) -> float:
    """Power at a time, on the line between the rows beside it."""
    after = next(index for index, row in enumerate(rows) if row[0] >= at)
    (t0, w0), (t1, w1) = rows[max(0, after - 1)], rows[after]
    return w1 if t1 == t0 else w0 + (w1 - w0) * (at - t0) / (t1 - t0)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, _UTC).strftime("%Y-%m-%d %H:%M:%S")
