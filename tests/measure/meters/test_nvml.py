"""NVML as NVIDIA's reference describes it, played by a module of the same names."""

from __future__ import annotations

import sys
import types

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import meters
from edgekit.measure.meters import Absent
from edgekit.measure.meters.nvml import NvmlCounter
from edgekit.measure.meters.sampled import Sampled


class NvmlError(Exception):
    """Stands for pynvml.NVMLError."""


class NotSupportedError(NvmlError):
    """Stands for pynvml.NVMLError_NotSupported."""


def fake(energies: list[int] | None, power: int | None = None, architecture: int = 6) -> types.ModuleType:
    """The part of pynvml that is used: counter readings in mJ, power in mW; none: not supported."""
    module = types.ModuleType("pynvml")

    def total(handle: str) -> int:
        if energies is None:
            raise NotSupportedError("Not Supported")
        if not energies:
            raise NvmlError("GPU is lost")
        return energies.pop(0)

    def usage(handle: str) -> int:
        if power is None:
            raise NotSupportedError("Not Supported")
        return power

    for name, value in {
        "NVMLError": NvmlError,
        "NVMLError_NotSupported": NotSupportedError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"handle {index}",
        "nvmlDeviceGetName": lambda handle: f"RTX of {handle}",
        "nvmlDeviceGetTotalEnergyConsumption": total,
        "nvmlDeviceGetPowerUsage": usage,
        "nvmlDeviceGetArchitecture": lambda handle: architecture,
    }.items():
        setattr(module, name, value)
    return module


def test_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake([900, 1000, 4500, 5000, 5000, 7000, 200]))
    meter = meters.find({"kind": "nvml", "gpu": 1})
    assert isinstance(meter, NvmlCounter)
    assert meter.scope == "GPU 1: RTX of handle 1, whole board"
    meter.start()
    assert meter.stop().joules == pytest.approx(3.5)
    meter.start()
    assert not meter.stop().moved
    meter.start()
    with pytest.raises(DeviceError, match="went back"):
        meter.stop()
    with pytest.raises(DeviceError, match="cannot be read any more: GPU is lost"):
        meter.start()


@pytest.mark.parametrize(("architecture", "said", "period_s"), [(4, "", 0.1), (8, " (averages over 1 s)", 1.0)])
def test_power_is_sampled_where_there_is_no_counter_and_says_so(
    monkeypatch: pytest.MonkeyPatch, architecture: int, said: str, period_s: float
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake(None, 75_000, architecture))
    meter = meters.find("auto", gpu=True)
    assert isinstance(meter, Sampled)
    assert meter.source == f"NVML nvmlDeviceGetPowerUsage{said}, power sampled every 50 ms"
    assert meter.update_period_s == period_s
    meter.start()
    reading = meter.stop()
    assert reading.joules == pytest.approx(75.0 * (meter._times[-1] - meter._times[0]))
    assert not reading.moved


def test_neither_counter_nor_power_nor_driver_nor_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake(None))
    jetson = meters.find("nvml")
    assert isinstance(jetson, Absent)
    assert "for a Jetson name energy_meter 'jetson'" in jetson.reason
    monkeypatch.setitem(sys.modules, "pynvml", fake([]))
    assert meters.find("nvml") == Absent(
        "no energy through NVML: the NVML energy counter cannot be read any more: GPU is lost"
    )
    monkeypatch.setitem(sys.modules, "pynvml", None)
    package = meters.find("nvml")
    assert isinstance(package, Absent)
    assert "edgekit[nvml]" in package.reason
