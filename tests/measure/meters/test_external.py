"""An external meter's file: alignment by time, gaps, columns and clocks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import meters
from edgekit.measure.meters import External

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def made(
    folder: Path,
    rows: int = 200,
    header: str = "time,watts",
    stamp: Callable[[float], object] = str,
    **options: object,
) -> External:
    """A row each 0.1 s whose power is 2 W and 1 W more each second."""
    path = folder / "meter.csv"
    lines = [f"{stamp(START + 0.1 * i)},{2 + 0.1 * i}" for i in range(rows)]
    path.write_text("\n".join([header, *lines, ""]))
    asked = {"kind": "csv", "path": str(path), "time_column": "time", "power_column": "watts"}
    found = meters.find(asked | {"offset_s": 0.0, "period_s": 0.1} | options)
    assert isinstance(found, External)
    return found


@pytest.mark.parametrize("stamp", [str, iso, lambda s: iso(s).removesuffix("+00:00")])
def test_energy_between_two_times(tmp_path: Path, stamp: Callable[[float], object]) -> None:
    meter = made(tmp_path, stamp=stamp)
    # From 3.05 s to 8.05 s, between the rows: the line 2 + t over 5 s.
    reading = meter.reading(START + 3.05, START + 8.05, 20)
    assert reading.joules == pytest.approx((2 + 5.55) * 5.0, rel=1e-6)
    assert reading.moved


def test_a_clock_that_is_wrong_is_put_right_by_the_offset(tmp_path: Path) -> None:
    behind = made(tmp_path, stamp=lambda s: s - 3600.0, offset_s=3600.0)
    assert behind.reading(START + 3.0, START + 8.0, 20).joules == pytest.approx((2 + 5.5) * 5.0, rel=1e-6)
    with pytest.raises(DeviceError, match=r"covers 2026-03-01 11:00:00 to 2026-03-01 11:00:19, .*'offset_s'"):
        made(tmp_path, stamp=lambda s: s - 3600.0).reading(START + 3.0, START + 8.0, 20)


def test_other_columns_a_byte_order_mark_and_a_row_that_is_being_written(tmp_path: Path) -> None:
    meter = made(tmp_path, header="when,P [W]", time_column="when", power_column="P [W]")
    text = meter.path.read_text()
    meter.path.write_text("\ufeff" + text + "17723")
    assert meter.reading(START + 3.0, START + 8.0, 20).joules == pytest.approx(37.5, rel=1e-6)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"has 3 rows in a window of 0\.3 s, and 20 are needed"):
        made(tmp_path).reading(START + 1.05, START + 1.34, 20)
    with pytest.raises(DeviceError, match=r"has no column 'watts' \(it has: time, power"):
        made(tmp_path, header="time,power").reading(START, START + 1, 1)
    meter = made(tmp_path)
    lines = meter.path.read_text().splitlines(keepends=True)
    meter.path.write_text("".join(lines[:50] + lines[80:]))
    with pytest.raises(DeviceError, match=r"a gap of 3\.1"):
        meter.reading(START + 1.0, START + 15.0, 20)
    meter.path.write_text("time,watts\n1,2\n2,high\n")
    with pytest.raises(DeviceError, match=r"meter\.csv:3: is no time and power: could not convert"):
        meter.reading(START, START + 1, 1)
    meter.path.unlink()
    with pytest.raises(DeviceError, match=r"meter\.csv: cannot be read"):
        meter.reading(START, START + 1, 1)


def test_it_waits_for_rows_that_are_still_to_come(tmp_path: Path) -> None:
    meter = made(tmp_path, period_s=0.01)
    meter.wait_for(START + 5.0)  # there already
    meter.wait_for(START + 50.0, most_s=0.05)  # given up
