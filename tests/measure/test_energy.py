"""Joules per inference of meters that are known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgekit.errors import DeviceError, InputError
from edgekit.measure.energy import aligned, joules_of, window_s, windows_of
from edgekit.measure.meters import External, Reading


class Constant:
    """A counter of a machine that draws a constant power, and a fixed energy for each inference."""

    source, scope, update_period_s, estimated = "test", "all", 1e-4, False

    def __init__(self, idle_w: float, each_j: float) -> None:
        self.idle_w, self.each_j, self.count, self.kept, self.first = idle_w, each_j, 0, 0, 0.0

    def _read(self) -> float:
        return time.perf_counter() * self.idle_w + self.count * self.each_j

    def start(self) -> None:
        self.first = self._read()

    def keep(self) -> None:
        self.kept += 1

    def stop(self) -> Reading:
        joules = self._read() - self.first
        return Reading(joules, joules > 0)

    def run(self) -> None:
        self.count += 1
        time.sleep(0.001)


def test_idle_power_is_subtracted_in_each_window() -> None:
    meter = Constant(idle_w=2.0, each_j=5.0)
    windows = windows_of(meter, meter.run, 0.03)
    found = joules_of(windows, "test")
    assert len(found) == 3
    assert sum(one.count for one in found) == meter.count == meter.kept - 1  # once in the idle window
    for one in found:
        # The readings and the window's ends are some microseconds apart.
        assert one.joules_per_inference == pytest.approx(5.0, rel=1e-2)
        assert one.idle_w == pytest.approx(2.0, rel=0.1)
        assert one.busy_j > 5.0 * one.count
        assert one.window_s >= 0.03


def test_windows_are_twenty_update_periods_long() -> None:
    assert window_s(1e-3) == 0.5
    assert window_s(0.1) == pytest.approx(2.0)
    meter = Constant(1.0, 1.0)
    with pytest.raises(InputError, match=r"too short for test \(use at least 0.002 s\)"):
        windows_of(meter, meter.run, 0.001)


@pytest.mark.parametrize("idle_w", [0.0, -1.0])
def test_a_counter_that_stands_still_is_no_measurement(idle_w: float) -> None:
    meter = Constant(idle_w, 0.0)
    with pytest.raises(DeviceError, match="test stood still for"):
        joules_of(windows_of(meter, meter.run, 0.005), "test")


def test_a_sensor_that_always_says_the_same_is_no_measurement() -> None:
    class Stuck(Constant):
        def stop(self) -> Reading:
            return Reading(super().stop().joules, moved=False)

    meter = Stuck(3.0, 0.0)
    with pytest.raises(DeviceError, match="stood still"):
        joules_of(windows_of(meter, meter.run, 0.03), "test")
    # Steady within each window, and another figure under load: it measures.
    loaded = Stuck(3.0, 1.0)
    assert joules_of(windows_of(loaded, loaded.run, 0.03), "test")[0].joules_per_inference == pytest.approx(
        1.0, rel=0.05
    )


def test_an_estimate_has_no_idle_window() -> None:
    class Rated(Constant):
        estimated = True

    meter = Rated(0.0, 2.0)
    windows = windows_of(meter, meter.run, 0.005)
    assert windows.idle is None
    assert {one.joules_per_inference for one in joules_of(windows, "test")} == {2.0}
    assert joules_of(windows, "test")[0].idle_w is None


def test_an_external_meter_is_read_when_the_windows_are_over(tmp_path: Path) -> None:
    meter = External(tmp_path / "meter.csv", "time", "watts", 0.0, 0.001)
    windows = windows_of(meter, lambda: time.sleep(0.001), 0.03, count=2)
    with pytest.raises(DeviceError, match="has no reading of a window"):
        joules_of(windows, "test")
    assert windows.idle is not None
    # 4 W while idle and 10 W while busy; the step between two rows reaches into the end of the idle window.
    begun = windows.busy[0].start_utc_s
    rows = [begun - 1 + 0.0005 * index for index in range(4000)]
    text = "".join(f"{at},{4.0 if at < begun - 1e-4 else 10.0}\n" for at in rows)
    meter.path.write_text(f"time,watts\n{text}")
    for one, span in zip(joules_of(aligned(meter, windows), "test"), windows.busy, strict=True):
        assert one.idle_w == pytest.approx(4.0, rel=0.02)
        assert one.joules_per_inference == pytest.approx(6.0 * span.seconds / span.count, rel=0.02)
