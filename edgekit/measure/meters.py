"""Energy counters of this machine.

Counters only: a counter integrates in hardware, while power sampled over an inference of milliseconds does not.
Where there is none, ``find`` returns an ``Absent`` that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edgekit.errors import DeviceError

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Absent:
    """No meter here. ``reason`` says why, and what would help."""

    reason: str


class Meter(Protocol):
    """A cumulative energy counter.

    Attributes:
        source: where the joules come from.
        scope: what they include.
        update_period_s: how often the counter moves, at worst.
    """

    source: str
    scope: str
    update_period_s: float

    def read_j(self) -> float:
        """Joules since the first reading; never falls.

        Raises:
            DeviceError: the counter cannot be read any more.
        """
        ...


def difference(before: int, after: int, wrap: int) -> int:
    """Counts from ``before`` to ``after`` of a counter that starts again at 0 beyond ``wrap``, at most once."""
    return after - before if after >= before else after - before + wrap


class Rapl:
    """Intel's and AMD's running average power limit counters, in Linux' powercap tree.

    All packages are added; their parts (``core``, ``uncore``, ``dram``) and the platform counter (``psys``) are
    left out, since the former are inside the package or not on every CPU, and the latter overlaps it. A counter
    wraps after minutes to an hour of load, so it must be read more often than that.
    """

    source = "RAPL (powercap)"
    #: The hardware updates about once a millisecond (Intel SDM volume 3, section "RAPL interfaces").
    update_period_s = 1e-3

    def __init__(self, packages: tuple[Path, ...]) -> None:
        """Args: packages: folders with ``energy_uj`` and ``max_energy_range_uj`` (microjoules)."""
        self._packages = packages
        self.scope = (
            f"{len(packages)} CPU package{'s' if len(packages) > 1 else ''}: {', '.join(map(_name, packages))}"
        )
        self._wraps = [_integer(one / "max_energy_range_uj") for one in packages]
        self._last = [_integer(one / "energy_uj") for one in packages]
        self._total_uj = 0

    def read_j(self) -> float:
        """Joules of all packages since the meter was opened."""
        try:
            now = [_integer(one / "energy_uj") for one in self._packages]
        except OSError as error:
            raise DeviceError(f"the RAPL counter cannot be read any more: {error}") from error
        for before, after, wrap in zip(self._last, now, self._wraps, strict=True):
            self._total_uj += difference(before, after, wrap)
        self._last = now
        return self._total_uj / 1e6


class Nvml:
    """The total energy counter of one NVIDIA GPU (Volta and later), through NVML."""

    #: NVML does not state it. Its power readings are known to move every 20 to 100 ms; the slowest is assumed here.
    update_period_s = 0.1

    def __init__(self, index: int = 0) -> None:
        """Open GPU ``index``; raises what NVML raises."""
        import pynvml

        pynvml.nvmlInit()
        self._nvml = pynvml
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        name = pynvml.nvmlDeviceGetName(self._handle)
        self.source = "NVML nvmlDeviceGetTotalEnergyConsumption"
        self.scope = f"GPU {index}: {name if isinstance(name, str) else name.decode()}, whole board"
        self._first_mj = int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def read_j(self) -> float:
        """Joules of the GPU since the meter was opened."""
        try:
            now = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError as error:
            raise DeviceError(f"the NVML energy counter cannot be read any more: {error}") from error
        return (now - self._first_mj) / 1e3


def find(kind: Literal["auto", "rapl", "nvml", "none"], root: Path = POWERCAP, gpu: bool = False) -> Meter | Absent:
    """The meter of this machine.

    Args:
        kind: the target's ``energy_meter``; ``auto`` is NVML for work on an NVIDIA GPU, RAPL for any other.
        root: the powercap tree.
        gpu: whether the artifact runs on an NVIDIA GPU.
    """
    if kind == "none":
        return Absent("the target's energy_meter is 'none'")
    if kind == "nvml" or (kind == "auto" and gpu):
        return _find_nvml()
    return _find_rapl(root)


def _find_rapl(root: Path) -> Meter | Absent:
    if not root.is_dir():
        return Absent(f"no RAPL counters: {root} does not exist (not Linux, a virtual machine, or no such CPU)")
    packages = []
    # 'intel-rapl-mmio:*' shows the same package a second time, and 'intel-rapl:0:0' is a part of package 0.
    for folder in sorted(root.glob("intel-rapl:*")):
        if folder.name.count(":") != 1:
            continue
        try:
            name = _name(folder)
        except OSError as error:
            return Absent(f"the RAPL counter {folder} cannot be read: {error.strerror}")
        if name.startswith("package"):
            packages.append(folder)
    if not packages:
        return Absent(f"no RAPL package counter below {root} (a virtual machine, or no such CPU)")
    try:
        return Rapl(tuple(packages))
    except PermissionError:
        return Absent(
            f"permission denied for {packages[0] / 'energy_uj'}; "
            f"let an administrator run: chmod a+r {root}/intel-rapl:*/energy_uj"
        )
    except (OSError, ValueError) as error:
        return Absent(f"the RAPL counter {packages[0]} cannot be read: {error}")


def _find_nvml() -> Meter | Absent:
    try:
        import pynvml
    except ImportError:
        return Absent("the package 'nvidia-ml-py' is not installed (pip install 'edgekit[nvml]')")
    try:
        return Nvml()
    except pynvml.NVMLError as error:
        text = str(error)
        if isinstance(error, pynvml.NVMLError_NotSupported):
            text = "this GPU has no total energy counter (Volta and later have one, Jetson has none)"
        return Absent(f"no energy counter through NVML: {text}")


def _name(folder: Path) -> str:
    return (folder / "name").read_text(encoding="ascii").strip()


def _integer(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
