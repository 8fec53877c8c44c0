"""The machine on which a figure was measured. No network, and no serial number, host or user name."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgekit.measure import process
from edgekit.store import PACKAGE, digest, versions

#: Vector and matrix extensions that decide how fast a network runs: x86, then Arm.
ISA_FLAGS = (
    *("sse4_2", "avx", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
#: Distributions that determine results or speed.
PACKAGES = (
    *("edgekit", "torch", "torchvision", "timm", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf"),
    *("torchao", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "executorch", "coremltools", "tensorrt"),
    "nvidia-ml-py",
)
#: The fields in which two machines must agree for their latencies to be compared.
COMPARABLE = (
    *("cpu", "isa", "cores_physical", "cores_logical", "cores_usable", "memory_gib", "governor", "hypervisor"),
    "system",
)


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """Everything about this machine that bears on a figure, as plain data.

    A field that cannot be read holds a text that begins with ``not readable:`` and gives the reason.

    Args:
        root: where ``proc`` and ``sys`` are, for tests with recorded trees.
    """
    model, flags, hypervisor = _cpu(root)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "cores_physical": _physical_cores(root),
        "cores_logical": os.cpu_count(),
        "cores_usable": len(process.affinity()),
        "affinity": list(process.affinity()),
        "memory_bytes": memory,
        "memory_gib": round(memory / 2**30),
        "governor": _governor(root),
        "clock_mhz": process.clock_mhz(root / "sys/devices/system/cpu") or "not readable: no cpufreq",
        "hypervisor": hypervisor,
        "system": platform.system(),
        "os": _os(root),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_average": list(os.getloadavg()),
        "gpus": _gpus(),
        "temperatures_c": _temperatures(root),
        "versions": versions(*PACKAGES),
    }


def fingerprint(machine: dict[str, Any]) -> str:
    """Hash (16 hex digits) of what must be equal for two machines' latencies to be compared."""
    fields = {field: machine.get(field) for field in COMPARABLE}
    gpus = machine.get("gpus")
    # Why no GPU was seen (package or driver missing) makes no other machine.
    fields["gpus"] = [one["name"] for one in gpus] if isinstance(gpus, list) else []
    return digest(fields)[:16]


def commit() -> tuple[str | None, bool | None]:
    """The git commit of the checkout that edgekit runs from, and whether its code was changed since.

    ``(None, None)`` where edgekit is installed rather than checked out, or git is not there. Only the package's
    own folder counts as changed: recipes and targets have their own hashes in the record.
    """
    # Not any repository above: an environment inside another project's checkout would give that one's commit.
    if not (PACKAGE.parent / ".git").exists():
        return None, None
    sha = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", str(PACKAGE))
    return sha or None, None if changed is None or not sha else bool(changed)


def _git(*arguments: str) -> str | None:
    # GIT_DIR and the like, set inside a git hook, would lead to another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _cpu(root: Path) -> tuple[str, frozenset[str], str]:
    """Model name, feature flags, and the hypervisor as far as it can be seen."""
    text = _read(root / "proc/cpuinfo")
    if text is None:
        # Off Linux py-cpuinfo asks the system; on Linux that would start several processes for the same text.
        try:
            import cpuinfo
        except ImportError:
            return platform.processor() or "not readable: no py-cpuinfo", frozenset(), "not visible"
        info = cpuinfo.get_cpu_info()
        return (
            str(info.get("brand_raw", "not readable: py-cpuinfo")),
            frozenset(info.get("flags", ())),
            "not visible",
        )
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = frozenset((fields.get("flags") or fields.get("Features") or "").split())
    board = (_read(root / "proc/device-tree/model") or "").strip("\0")
    model = fields.get("model name") or board or fields.get("Hardware") or fields.get("CPU part")
    known = " ".join(fields[name] for name in ("vendor_id", "cpu family", "model", "stepping") if name in fields)
    # Virtual machines often hide the marketing name; family and model still tell one CPU from another.
    shown = f"{model or 'not readable: /proc/cpuinfo names no model'}" + (f" ({known})" if known else "")
    if "hypervisor" not in flags:
        return shown, flags, "none seen"
    vendor = _read(root / "sys/class/dmi/id/sys_vendor") or _read(root / "sys/hypervisor/type")
    return shown, flags, f"virtual machine ({vendor})" if vendor else "virtual machine"


def _physical_cores(root: Path) -> int | str:
    """Cores that are no second thread of another one."""
    if sys.platform == "darwin":
        told = subprocess.run(["sysctl", "-n", "hw.physicalcpu"], capture_output=True, text=True, check=False)
        return int(told.stdout) if told.returncode == 0 else "not readable: sysctl hw.physicalcpu"
    cores = root.glob("sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list")
    siblings = {_read(one) for one in cores} - {None}
    return len(siblings) or "not readable: this system shows no topology of its cores"


def _governor(root: Path) -> str:
    found = set()
    for core in process.affinity():
        text = _read(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor")
        if text is None:
            why = (
                "macOS has none"
                if sys.platform == "darwin"
                else "this system shows no cpufreq, as most virtual ones"
            )
            return f"not readable: {why}"
        found.add(text)
    return ", ".join(sorted(found))


def _os(root: Path) -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release") or "", re.MULTILINE)
    return match.group(1) if match else platform.platform()


def _temperatures(root: Path) -> dict[str, float] | str:
    """Thermal zones in degrees Celsius."""
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind, value = _read(zone / "type"), _read(zone / "temp")
        if kind and value and value.lstrip("-").isdigit():
            found[f"{zone.name} {kind}"] = int(value) / 1000.0
    return found or "not readable: this system shows no thermal zones"


def _gpus() -> list[dict[str, Any]] | str:
    """NVIDIA GPUs, through NVML."""
    try:
        import pynvml
    except ImportError:
        return "not readable: the package 'nvidia-ml-py' is not installed (pip install 'edgekit[nvml]')"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"not readable: no NVIDIA GPU seen through NVML: {error}"
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [
            {
                "name": pynvml.nvmlDeviceGetName(handle),
                "memory_bytes": int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                "driver": driver,
            }
            for handle in handles
        ]
    except pynvml.NVMLError as error:
        return f"not readable: {error}"
    finally:
        pynvml.nvmlShutdown()
