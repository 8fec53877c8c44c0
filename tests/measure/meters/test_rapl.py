"""RAPL on powercap trees as Documentation/power/powercap/powercap.rst shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import meters
from edgekit.measure.meters import Absent
from edgekit.measure.meters.counter import FileCounter, difference
from tests.measure.meters.sysfs import write

TREE = "sys/class/powercap"
#: Of a desktop: 2^32 counts of 61 microjoules.
WRAP = 262_143_328_850


def domain(root: Path, folder: str, name: str, uj: int, wrap: int = WRAP) -> Path:
    write(root, {f"{TREE}/{folder}/{key}": value for key, value in
                 {"name": name, "energy_uj": uj, "max_energy_range_uj": wrap, "enabled": 1}.items()})  # fmt: skip
    return root / TREE / folder / "energy_uj"


def two_packages(root: Path) -> tuple[Path, Path]:
    """As on a two-socket server: packages, their parts, the platform, and the memory-mapped twins."""
    one = domain(root, "intel-rapl:0", "package-0", 1_000_000)
    two = domain(root, "intel-rapl:1", "package-1", 5_000_000)
    domain(root, "intel-rapl:0:0", "core", 300)
    domain(root, "intel-rapl:0:1", "dram", 300)
    domain(root, "intel-rapl:1:0", "dram", 700)
    domain(root, "intel-rapl:2", "psys", 900)
    domain(root, "intel-rapl-mmio:0", "package-0", 1_000_000)
    return one, two


def counter(found: object) -> FileCounter:
    assert isinstance(found, FileCounter), found
    return found


def absent(found: object) -> str:
    assert isinstance(found, Absent), found
    return found.reason


def test_packages_are_added_and_nothing_else(tmp_path: Path) -> None:
    one, two = two_packages(tmp_path)
    meter = counter(meters.find("rapl", root=tmp_path))
    assert meter.scope == "2 CPU packages: package-0, package-1; without DRAM and the rest of the platform"
    meter.start()
    one.write_text("3500000\n")
    two.write_text("5250000\n")
    assert meter.stop().joules == pytest.approx(2.75)
    # The next window begins anew.
    meter.start()
    one.write_text("3600000\n")
    assert meter.stop().joules == pytest.approx(0.1)


def test_domains_that_are_asked_for(tmp_path: Path) -> None:
    two_packages(tmp_path)
    meter = counter(meters.find({"kind": "rapl", "domains": ["package", "dram"]}, root=tmp_path))
    assert meter.scope == "package-0, package-1, dram, dram; without the rest of the platform"
    meter.start()
    (tmp_path / TREE / "intel-rapl:1:0" / "energy_uj").write_text("1000700\n")
    assert meter.stop().joules == pytest.approx(1.0)
    why = absent(meters.find({"kind": "rapl", "domains": ["uncore"]}, root=tmp_path))
    assert "no RAPL uncore counter below" in why
    assert "there are: package-0, core, dram, package-1, psys" in why


def test_dies_of_one_package(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0-die-0", 10)
    domain(tmp_path, "intel-rapl:1", "package-0-die-1", 10)
    assert counter(meters.find("rapl", root=tmp_path)).scope == "2 CPU packages: package-0-die-0, package-0-die-1"


def test_a_wrap_between_two_readings_gives_the_right_joules(tmp_path: Path) -> None:
    file = domain(tmp_path, "intel-rapl:0", "package-0", WRAP - 1_000_000)
    meter = counter(meters.find("auto", root=tmp_path))
    meter.start()
    file.write_text("2000000\n")
    assert meter.stop().joules == pytest.approx(3.0)


def test_two_wraps_in_one_window_are_both_seen_when_it_is_kept_and_refused_when_not(tmp_path: Path) -> None:
    wrap = 65_532_610_987  # of a server: 2^32 counts of 15.3 microjoules
    file = domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000, wrap)
    now = [0.0]
    meter = FileCounter("RAPL", "package", [(file, wrap)], 1e-3, clock=lambda: now[0])
    # 65.5 kJ at 1 kW, which no package draws.
    assert meter.read_within_s == pytest.approx(65.5, rel=0.01)
    meter.start()
    # 1.2 kJ a second would wrap in 55 s: reading each 20 s sees every wrap.
    for step in range(1, 8):
        now[0] += 20.0
        file.write_text(f"{(1_000_000 + step * 24_000_000_000) % wrap}\n")
        meter.keep()
    assert meter.stop().joules == pytest.approx(7 * 24_000.0)
    meter.start()
    now[0] += 140.0
    file.write_text("5\n")
    with pytest.raises(DeviceError, match="not read for 140 s and may have wrapped more than once"):
        meter.stop()


def test_keep_reads_only_when_it_must(tmp_path: Path) -> None:
    file = domain(tmp_path, "intel-rapl:0", "package-0", 100)
    now = [0.0]
    meter = FileCounter("RAPL", "package", [(file, WRAP)], 1e-3, clock=lambda: now[0])
    meter.start()
    file.unlink()
    now[0] = meter.read_within_s / 8
    meter.keep()
    now[0] = meter.read_within_s / 2
    with pytest.raises(DeviceError, match="cannot be read any more"):
        meter.keep()


def test_difference() -> None:
    assert difference(5, 9, 100) == 4
    assert difference(98, 3, 100) == 5
    assert difference(7, 7, 100) == 0


def test_a_counter_that_stands_still_does_not_move(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 100)
    meter = counter(meters.find("rapl", root=tmp_path))
    meter.start()
    assert not meter.stop().moved


def test_without_permission(tmp_path: Path, deny: Callable[[str], None]) -> None:
    # As the kernel does since 2020: only root may read the counter.
    file, _ = two_packages(tmp_path)
    deny("energy_uj")
    why = absent(meters.find("rapl", root=tmp_path))
    assert f"permission denied for {file}; let an administrator run: chmod a+r" in why


def test_missing_tree_domains_and_numbers(tmp_path: Path) -> None:
    assert "sys/class/powercap does not exist" in absent(meters.find("rapl", root=tmp_path))
    (tmp_path / TREE).mkdir(parents=True)
    assert "(a virtual machine, or no such CPU)" in absent(meters.find("rapl", root=tmp_path))
    domain(tmp_path, "intel-rapl:0", "psys", 0)
    assert "no RAPL package counter below" in absent(meters.find("rapl", root=tmp_path))
    file = domain(tmp_path, "intel-rapl:1", "package-0", 0)
    file.write_text("\n")
    assert "cannot be read: invalid literal" in absent(meters.find("rapl", root=tmp_path))
    domain(tmp_path, "intel-rapl:1", "package-0", 5, wrap=0)
    assert "max_energy_range_uj is not above 0" in absent(meters.find("rapl", root=tmp_path))
    (file.parent / "max_energy_range_uj").unlink()
    assert "No such file" in absent(meters.find("rapl", root=tmp_path))
