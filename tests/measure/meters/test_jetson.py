"""Jetson boards as their device trees and Documentation/hwmon/ina3221.rst and ina238.rst show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.measure import meters
from edgekit.measure.meters import Absent
from edgekit.measure.meters.sampled import Sampled
from tests.measure.meters.sysfs import write

INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
MODEL = "proc/device-tree/model"


def orin_nano(root: Path, labels: tuple[str, ...] = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")) -> Path:
    """JetPack 5 and 6: 4.96 V and 1.2 A on the first channel."""
    files: dict[str, object] = {MODEL: "NVIDIA Jetson Orin Nano Developer Kit\0", f"{INA}/name": "ina3221"}
    for index, label in enumerate(labels, 1):
        files |= {f"{INA}/in{index}_label": label, f"{INA}/in{index}_input": 4960, f"{INA}/curr{index}_input": 1200}
    files[f"{INA}/in7_label"] = "sum of shunt voltages"
    return write(root, files)


def watts(meter: object) -> float:
    """Mean of a short window."""
    assert isinstance(meter, Sampled), meter
    meter.start()
    joules = meter.stop().joules
    return joules / (meter._times[-1] - meter._times[0])


def absent(found: object) -> str:
    assert isinstance(found, Absent), found
    return found.reason


def test_the_input_rail_of_an_orin_nano_and_no_sum(tmp_path: Path) -> None:
    meter = meters.find("auto", gpu=True, root=orin_nano(tmp_path))
    assert isinstance(meter, Sampled)
    assert meter.source == "INA3221 (sysfs), power sampled every 20 ms"
    assert meter.scope == "rail VDD_IN, the input of the whole module"
    assert watts(meter) == pytest.approx(4.96 * 1.2)


def test_an_agx_orin_monitors_no_input(tmp_path: Path) -> None:
    root = orin_nano(tmp_path, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
    why = absent(meters.find("jetson", root=root))
    assert "no input rail (it has VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0)" in why
    assert "the sum of its rails is not its input" in why
    assert "energy_meter kind 'csv'" in why
    named = meters.find({"kind": "jetson", "rail": "VDD_GPU_SOC"}, root=root)
    assert isinstance(named, Sampled)
    assert named.scope == "rail VDD_GPU_SOC, named by the target: a part of the module"
    assert "no rail 'VDD'" in absent(meters.find({"kind": "jetson", "rail": "VDD"}, root=root))


def test_jetpack_4(tmp_path: Path) -> None:
    folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    files = {
        "rail_name_0": "POM_5V_IN",
        "in_power0_input": 2345,
        "rail_name_1": "POM_5V_GPU",
        "in_power1_input": 40,
    }
    root = write(tmp_path, {f"{folder}/{key}": value for key, value in files.items()})
    assert watts(meters.find("jetson", root=root)) == pytest.approx(2.345)


def test_thor_has_an_ina238_on_its_input(tmp_path: Path) -> None:
    root = orin_nano(tmp_path, ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"))
    write(root, {"sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon5/power1_input": 31_500_000})
    meter = meters.find("jetson", root=root)
    assert isinstance(meter, Sampled)
    assert meter.scope == "rail VIN, the input of the whole module"
    assert watts(meter) == pytest.approx(31.5)


def test_no_jetson_and_no_permission(tmp_path: Path, deny: Callable[[str], None]) -> None:
    assert "no INA3221 or INA238 power monitor" in absent(meters.find("jetson", root=tmp_path))
    root = orin_nano(tmp_path)
    deny("curr1_input")
    assert "permission denied for" in absent(meters.find("jetson", root=root))
