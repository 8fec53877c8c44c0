"""Joules per inference of a counter that is known."""

from __future__ import annotations

import time

import pytest

from edgekit.errors import DeviceError, InputError
from edgekit.measure.energy import energy_of


class Constant:
    """A counter of a machine that draws a constant power, and a fixed energy for each inference."""

    source, scope, update_period_s = "test", "all", 1e-4

    def __init__(self, idle_w: float, each_j: float) -> None:
        self.idle_w, self.each_j, self.count = idle_w, each_j, 0

    def read_j(self) -> float:
        return time.perf_counter() * self.idle_w + self.count * self.each_j

    def run(self) -> None:
        self.count += 1
        time.sleep(0.001)


def test_idle_power_is_subtracted() -> None:
    meter = Constant(idle_w=2.0, each_j=5.0)
    got = energy_of(meter, meter.run, window_s=0.05, idle_s=0.02)
    assert got.count == meter.count > 1
    # The readings and the window's ends are some microseconds apart.
    assert got.joules_per_inference == pytest.approx(5.0, rel=1e-2)
    assert got.idle_w == pytest.approx(2.0, rel=0.1)
    assert got.busy_j > 5.0 * got.count
    assert got.window_s >= 0.05


def test_a_window_of_few_updates_is_refused() -> None:
    meter = Constant(1.0, 1.0)
    with pytest.raises(InputError, match=r"too short for test \(use at least 0.002 s\)"):
        energy_of(meter, meter.run, window_s=0.001, idle_s=1.0)


def test_a_counter_that_stands_still_is_no_measurement() -> None:
    meter = Constant(0.0, 0.0)
    with pytest.raises(DeviceError, match="did not move"):
        energy_of(meter, meter.run, window_s=0.01, idle_s=0.01)
