"""Integration of sampled power against closed forms, and a sensor that goes away."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edgekit.errors import DeviceError
from edgekit.measure.meters.sampled import Sampled, integrate


def test_integrate_against_numpy_and_a_line() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.random(50))
    watts = rng.random(50)
    assert integrate(list(times), list(watts)) == pytest.approx(float(np.trapezoid(watts, times)))
    # A line is integrated without error, whatever the distances.
    assert integrate(list(times), list(3 * times)) == pytest.approx(1.5 * (times[-1] ** 2 - times[0] ** 2))
    assert integrate([1.0], [5.0]) == 0.0


def test_samples_are_taken_beside_the_work_and_at_both_ends() -> None:
    begun = time.monotonic()
    meter = Sampled("ramp", "test", lambda: time.monotonic() - begun, 0.002, 0.001)
    meter.start()
    start = meter._times[0] - begun
    time.sleep(0.05)
    reading = meter.stop()
    stop = meter._times[-1] - begun
    assert reading.moved
    assert len(meter._times) > 3
    # The power of this sensor is the time, so its energy is half the difference of the squares.
    assert reading.joules == pytest.approx((stop**2 - start**2) / 2, rel=0.02)
    assert meter.update_period_s == 0.002


def test_a_sensor_that_goes_away() -> None:
    readings = [1.0]

    def read() -> float:
        if not readings:
            raise OSError("No such device")
        return readings.pop()

    meter = Sampled("ina", "rail", read, 0.001, 0.001)
    meter.start()
    with pytest.raises(DeviceError, match="power sampled every 1 ms cannot be read any more: No such device"):
        meter.stop()
