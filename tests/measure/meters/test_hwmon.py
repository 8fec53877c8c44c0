"""hwmon trees as Documentation/hwmon/amd_energy.rst and sysfs-interface.rst show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import meters
from edgekit.measure.meters import Absent
from edgekit.measure.meters.counter import FileCounter
from edgekit.measure.meters.sampled import Sampled
from tests.measure.meters.sysfs import write

TREE = "sys/class/hwmon"


def epyc(root: Path) -> Path:
    """Two sockets after four cores, and an NVMe drive's thermometer."""
    files: dict[str, object] = {f"{TREE}/hwmon0/name": "nvme", f"{TREE}/hwmon0/temp1_input": 41000}
    files[f"{TREE}/hwmon1/name"] = "amd_energy"
    for index, label in enumerate(("Ecore000", "Ecore001", "Ecore002", "Ecore003", "Esocket0", "Esocket1"), 1):
        files[f"{TREE}/hwmon1/energy{index}_label"] = label
        files[f"{TREE}/hwmon1/energy{index}_input"] = 1_000_000 * index
    return write(root, files)


def absent(found: object) -> str:
    assert isinstance(found, Absent), found
    return found.reason


def test_sockets_of_amd_energy_are_added_and_cores_are_not(tmp_path: Path) -> None:
    root = epyc(tmp_path)
    meter = meters.find("hwmon", root=root)
    assert isinstance(meter, FileCounter)
    assert meter.scope == "amd_energy Esocket0, amd_energy Esocket1"
    meter.start()
    write(root, {f"{TREE}/hwmon1/energy5_input": 7_000_000, f"{TREE}/hwmon1/energy6_input": 6_500_000})
    write(root, {f"{TREE}/hwmon1/energy1_input": 90_000_000})
    assert meter.stop().joules == pytest.approx(2.5)
    # 64 bits do not wrap: a smaller count is no wrap.
    meter.start()
    write(root, {f"{TREE}/hwmon1/energy5_input": 10})
    with pytest.raises(DeviceError, match="energy5_input went back from 7000000 to 10"):
        meter.stop()


def test_auto_takes_it_where_there_is_no_rapl_and_says_both_reasons_where_there_is_neither(tmp_path: Path) -> None:
    why = absent(meters.find("auto", root=tmp_path))
    assert "powercap does not exist" in why
    assert "no hwmon chip amd_energy or fam15h_power" in why
    assert isinstance(meters.find("auto", root=epyc(tmp_path)), FileCounter)


def test_without_permission(tmp_path: Path, deny: Callable[[str], None]) -> None:
    # CVE-2020-12912: owner and group only.
    root = epyc(tmp_path)
    deny("_input")
    why = absent(meters.find("hwmon", root=root))
    assert "permission denied for" in why
    assert f"chmod a+r {root / TREE}/hwmon1/energy*_input" in why


def test_a_power_sensor_is_sampled_at_the_period_that_it_states(tmp_path: Path) -> None:
    files = {"name": "fam15h_power", "power1_average": 45_000_000, "power1_average_interval": 10}
    root = write(tmp_path, {f"{TREE}/hwmon3/{key}": value for key, value in files.items()})
    meter = meters.find("hwmon", root=root)
    assert isinstance(meter, Sampled)
    assert meter.source == "hwmon fam15h_power, power sampled every 10 ms"
    meter.start()
    reading = meter.stop()
    assert reading.joules > 0
    assert not reading.moved


def test_a_named_chip(tmp_path: Path) -> None:
    files = {"name": "ina226", "power1_input": 5_000_000, "update_interval": 35}
    root = write(tmp_path, {f"{TREE}/hwmon0/{key}": value for key, value in files.items()})
    meter = meters.find({"kind": "hwmon", "chip": "ina226", "label": None}, root=root)
    assert isinstance(meter, Sampled)
    assert meter.update_period_s == pytest.approx(0.035)
    write(root, {f"{TREE}/hwmon0/power2_input": 1, f"{TREE}/hwmon0/power2_label": "board"})
    why = absent(meters.find({"kind": "hwmon", "chip": "ina226", "label": None}, root=root))
    assert "several channels (power1, board); name one as 'label'" in why
    named = meters.find({"kind": "hwmon", "chip": "ina226", "label": "board"}, root=root)
    assert isinstance(named, Sampled)
    assert named.scope == "ina226 board"
    assert "no channel 'x'" in absent(meters.find({"kind": "hwmon", "chip": "ina226", "label": "x"}, root=root))
    gone = absent(meters.find({"kind": "hwmon", "chip": "ina219", "label": None}, root=root))
    assert "no hwmon chip ina219" in gone
    assert "chips there: ina226" in gone
