"""What is told of a machine, on this one and on recorded trees."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from edgekit.measure import machine, process

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 151
model name\t: 12th Gen Intel(R) Core(TM) i7-12700K
stepping\t: 2
flags\t\t: fpu sse4_2 avx avx2 fma avx_vnni

processor\t: 1
model name\t: another
"""


def recorded(root: Path) -> Path:
    """A desktop of the kind that the review used."""
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(CPUINFO)
    for core in process.affinity():
        folder = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("powersave\n")
        (folder / "scaling_cur_freq").write_text("3600000\n")
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("x86_pkg_temp\n")
    (zone / "temp").write_text("41500\n")
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('NAME=Debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    return root


def test_recorded_machine(tmp_path: Path) -> None:
    got = machine.describe(recorded(tmp_path))
    assert got["cpu"] == "12th Gen Intel(R) Core(TM) i7-12700K (GenuineIntel 6 151 2)"
    assert got["isa"] == ["sse4_2", "avx", "fma", "avx2", "avx_vnni"]
    assert got["governor"] == "powersave"
    assert got["clock_mhz"] == 3600.0
    assert got["temperatures_c"] == {"thermal_zone0 x86_pkg_temp": 41.5}
    assert got["hypervisor"] == "none seen"


def test_virtual_machine_and_arm_board(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text("model name\t: Xeon\nflags\t: avx512_vnni hypervisor\n")
    got = machine.describe(tmp_path)
    assert got["hypervisor"] == "virtual machine"
    assert got["isa"] == ["avx512_vnni"]
    assert got["governor"].startswith("not readable: ")
    assert got["clock_mhz"] == "not readable: no cpufreq"
    assert got["temperatures_c"].startswith("not readable: ")
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU part\t: 0xd42\n")
    (tmp_path / "proc/device-tree/model").write_text("NVIDIA Jetson AGX Orin\0")
    got = machine.describe(tmp_path)
    assert got["cpu"] == "NVIDIA Jetson AGX Orin"
    assert got["isa"] == ["asimd", "asimddp", "i8mm"]


def test_this_machine_is_plain_data_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass
    import socket

    got = machine.describe()
    text = json.dumps(got, allow_nan=False)
    assert got["memory_bytes"] > 0
    assert got["cores_usable"] == len(got["affinity"])
    assert got["versions"]["numpy"]
    for name in (socket.gethostname(), getpass.getuser()):
        # Names as short as 'vm' or 'root' occur inside other words.
        if len(name) > 5:
            assert name not in text


def test_fingerprint_tells_machines_apart_and_nothing_else(tmp_path: Path) -> None:
    one = machine.describe(recorded(tmp_path))
    same = {**one, "load_average": [9.0, 9.0, 9.0], "temperatures_c": {}, "clock_mhz": 800.0, "versions": {}}
    assert machine.fingerprint(one) == machine.fingerprint(same)
    assert machine.fingerprint(one) == machine.fingerprint(json.loads(json.dumps(one)))
    for field, other in (("cpu", "x"), ("isa", []), ("cores_usable", 64), ("memory_gib", 1), ("governor", "x")):
        assert machine.fingerprint({**one, field: other}) != machine.fingerprint(one), field
    gpu = {"name": "RTX 3070 Ti", "memory_bytes": 1, "driver": "550"}
    assert machine.fingerprint({**one, "gpus": [gpu]}) != machine.fingerprint({**one, "gpus": "not readable: x"})
    assert machine.fingerprint({**one, "gpus": "a"}) == machine.fingerprint({**one, "gpus": "b"})


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "edgekit"
    package.mkdir()
    (package / "a.py").write_text("1\n")
    monkeypatch.setattr(machine, "PACKAGE", package)
    assert machine.commit() == (None, None)
    git(tmp_path, "init", "-q")
    assert machine.commit() == (None, None)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "a")
    sha = git(tmp_path, "rev-parse", "HEAD")
    assert machine.commit() == (sha, False)
    (tmp_path / "recipe.yaml").write_text("x\n")
    assert machine.commit() == (sha, False)
    (package / "new_pass.py").write_text("2\n")
    assert machine.commit() == (sha, True)
    # A hook's GIT_DIR leads nowhere else.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert machine.commit() == (sha, True)


def test_commit_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(machine, "PACKAGE", tmp_path / "edgekit")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.commit() == (None, None)
