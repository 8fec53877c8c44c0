"""The meters on recorded powercap trees, and on an NVML that is played."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import meters
from edgekit.measure.meters import Absent, Nvml, Rapl, difference, find

WRAP = 262_143_328_850


def domain(root: Path, folder: str, name: str, uj: int) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{uj}\n")
    (path / "max_energy_range_uj").write_text(f"{WRAP}\n")
    return path


def two_packages(root: Path) -> tuple[Path, Path]:
    """As on a two-socket server: packages, their parts, the platform, and the memory-mapped twins."""
    one = domain(root, "intel-rapl:0", "package-0", 1_000_000)
    two = domain(root, "intel-rapl:1", "package-1", 5_000_000)
    domain(root, "intel-rapl:0:0", "core", 300)
    domain(root, "intel-rapl:0:1", "dram", 300)
    domain(root, "intel-rapl:2", "psys", 900)
    domain(root, "intel-rapl-mmio:0", "package-0", 1_000_000)
    return one, two


def test_rapl_adds_packages_only(tmp_path: Path) -> None:
    one, two = two_packages(tmp_path)
    meter = find("rapl", tmp_path)
    assert isinstance(meter, Rapl)
    assert meter.scope == "2 CPU packages: package-0, package-1"
    assert meter.read_j() == 0.0
    (one / "energy_uj").write_text("3500000\n")
    (two / "energy_uj").write_text("5250000\n")
    assert meter.read_j() == pytest.approx(2.75)


def test_rapl_wraps(tmp_path: Path) -> None:
    one = domain(tmp_path, "intel-rapl:0", "package-0", WRAP - 1_000_000)
    meter = find("auto", tmp_path)
    assert isinstance(meter, Rapl)
    (one / "energy_uj").write_text("2000000")
    assert meter.read_j() == pytest.approx(3.0)
    (one / "energy_uj").write_text("1000000")
    assert meter.read_j() == pytest.approx(3.0 + (WRAP - 1_000_000) / 1e6)


def test_difference() -> None:
    assert difference(5, 9, 100) == 4
    assert difference(98, 3, 100) == 5
    assert difference(7, 7, 100) == 0


def test_rapl_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_packages(tmp_path)
    read = Path.read_text

    def denied(self: Path, *args: str, **kwargs: str) -> str:
        # As the kernel does since 2020: only root may read the counter. Tests may run as root.
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", denied)
    meter = find("auto", tmp_path)
    assert isinstance(meter, Absent)
    assert "permission denied for" in meter.reason
    assert "chmod a+r" in meter.reason


def test_rapl_missing(tmp_path: Path) -> None:
    nowhere = find("auto", tmp_path / "powercap")
    assert isinstance(nowhere, Absent)
    assert "powercap does not exist" in nowhere.reason
    empty = find("rapl", tmp_path)
    assert isinstance(empty, Absent)
    assert "no RAPL package counter below" in empty.reason


def test_rapl_with_a_counter_that_is_no_number(tmp_path: Path) -> None:
    one = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    (one / "energy_uj").write_text("")
    meter = find("rapl", tmp_path)
    assert isinstance(meter, Absent)
    assert "cannot be read" in meter.reason


def test_rapl_that_goes_away(tmp_path: Path) -> None:
    one = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = find("rapl", tmp_path)
    assert isinstance(meter, Rapl)
    (one / "energy_uj").unlink()
    with pytest.raises(DeviceError, match="cannot be read any more"):
        meter.read_j()


def test_none_is_absent(tmp_path: Path) -> None:
    assert find("none", tmp_path) == Absent("the target's energy_meter is 'none'")


class NvmlError(Exception):
    """Stands for pynvml.NVMLError."""


class NotSupportedError(NvmlError):
    """Stands for pynvml.NVMLError_NotSupported."""


def fake_nvml(readings: list[int], error: Exception | None = None) -> types.ModuleType:
    """The part of pynvml that is used, with counter readings in mJ."""
    module = types.ModuleType("pynvml")

    def total(handle: str) -> int:
        if error is not None:
            raise error
        return readings.pop(0)

    for name, value in {
        "NVMLError": NvmlError,
        "NVMLError_NotSupported": NotSupportedError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"handle {index}",
        "nvmlDeviceGetName": lambda handle: "RTX 3070 Ti",
        "nvmlDeviceGetTotalEnergyConsumption": total,
    }.items():
        setattr(module, name, value)
    return module


def test_nvml_counts_millijoules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([1000, 1500, 4000]))
    meter = find("auto", tmp_path, gpu=True)
    assert isinstance(meter, Nvml)
    assert meter.scope == "GPU 0: RTX 3070 Ti, whole board"
    assert meter.read_j() == pytest.approx(0.5)
    assert meter.read_j() == pytest.approx(3.0)


def test_nvml_without_counter_without_driver_and_without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([], NotSupportedError("Not Supported")))
    jetson = find("nvml")
    assert isinstance(jetson, Absent)
    assert "Jetson has none" in jetson.reason
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([], NvmlError("Driver Not Loaded")))
    assert find("nvml") == Absent("no energy counter through NVML: Driver Not Loaded")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    package = find("nvml")
    assert isinstance(package, Absent)
    assert "edgekit[nvml]" in package.reason


def test_default_tree_is_that_of_linux() -> None:
    assert Path("/sys/class/powercap") == meters.POWERCAP
