"""What the operating system says of this process and of its cores: memory, interruptions, clock.

Every reader returns none where this system does not tell. Read from the system itself: devices have no psutil.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path


def rss_bytes() -> int:
    """Resident memory of this process now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        # macOS has no /proc; ps gives kibibytes.
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True)
        return int(told.stdout) * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_rss_bytes() -> int:
    """Highest resident memory of this process so far.

    Linux: VmHWM, which starts anew with the program. ``ru_maxrss`` would keep the peak of the parent from which
    this process was forked, and so report the memory of the pipeline that started it.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def involuntary_switches() -> int:
    """How often the scheduler took a core away from this process so far, all threads."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def steal_ticks(stat: Path = Path("/proc/stat")) -> int | None:
    """Clock ticks for which the hypervisor ran something else, all cores, since boot."""
    try:
        fields = stat.read_text(encoding="ascii").splitlines()[0].split()
        return int(fields[8])
    except (OSError, IndexError, ValueError):
        return None


def affinity() -> tuple[int, ...]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def clock_mhz(cpus: Path = Path("/sys/devices/system/cpu")) -> float | None:
    """Mean clock now of this process's cores. None in most virtual machines, where it cannot be read."""
    found = []
    for core in affinity():
        try:
            text = (cpus / f"cpu{core}" / "cpufreq" / "scaling_cur_freq").read_text(encoding="ascii")
            found.append(int(text) / 1000.0)
        except (OSError, ValueError):
            return None
    return sum(found) / len(found)


def temperature_c(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """Degrees Celsius of the hottest thermal zone. None in most virtual machines, which show no zone."""
    found = []
    for path in sorted(zones.glob("thermal_zone*/temp")):
        try:
            found.append(int(path.read_text(encoding="ascii")) / 1000.0)
        except (OSError, ValueError):
            continue  # a zone that is switched off
    # A sensor that is not there gives a number far from any temperature.
    return max((one for one in found if 0.0 < one < 150.0), default=None)


def throttled(root: Path = Path("/")) -> int | None:
    """How often the CPU quota of this process's control group held it so far, as in a container with a limit."""
    group = ""
    with contextlib.suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
        group = next((line[4:] for line in lines if line.startswith("0::/")), "")
    tree = root / "sys/fs/cgroup"
    # Version 2: the process's own group, which inside a container is the root. Version 1: the controller's tree.
    for path in (tree / group / "cpu.stat", tree / "cpu.stat", tree / "cpu" / "cpu.stat"):
        try:
            fields = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return int(fields["nr_throttled"])
        except (OSError, ValueError, KeyError):
            continue
    return None
