"""The estimate says what it is, and follows its formula."""

from __future__ import annotations

import time

import pytest

from edgekit.measure import meters
from edgekit.measure.meters.estimated import RatedPower


def test_rated_power_times_the_share_of_busy_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = RatedPower(60.0, cores=4)
    monkeypatch.setattr(time, "process_time", iter([10.0, 12.0]).__next__)
    meter.start()
    assert meter.stop().joules == pytest.approx(60.0 * 2.0 / 4)
    assert meter.source == "estimated, not measured: rated power of 60 W"


def test_only_who_asks_gets_one() -> None:
    found = meters.find({"kind": "estimated", "tdp_w": 15.0})
    assert isinstance(found, RatedPower)
    assert found.estimated
    for kind in ("auto", "rapl", "hwmon", "nvml", "jetson", "powermetrics", "none"):
        assert not getattr(meters.find(kind), "estimated", False), kind
