"""What a target asks of the machine for the time of a measurement: cores and governor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.measure import process

_CPUS = Path("/sys/devices/system/cpu")


@contextlib.contextmanager
def applied(cores: Sequence[int] | None, governor: str | None, cpus: Path = _CPUS) -> Iterator[dict[str, str]]:
    """Bind this process to ``cores`` and set their ``governor``; the governor is put back in the end.

    Args:
        cores: numbers of the cores; none leaves them as they are.
        governor: of the CPU frequency, such as ``performance``; none likewise.
        cpus: where the kernel shows the cores.

    Yields:
        What could not be set, by the target's key, and why, with the remedy.
    """
    refused: dict[str, str] = {}
    if cores is not None:
        why = _bind(cores)
        refused |= {"cores": why} if why else {}
    before: dict[Path, str] = {}
    if governor is not None:
        why = _govern(governor, cpus, before)
        refused |= {"governor": why} if why else {}
    try:
        yield refused
    finally:
        for path, value in before.items():
            with contextlib.suppress(OSError):
                path.write_text(value, encoding="ascii")


def _bind(cores: Sequence[int]) -> str | None:
    if not hasattr(os, "sched_setaffinity"):
        return "this system has no call for it; the process ran on the cores that the system chose"
    allowed = process.affinity()
    absent = sorted(set(cores) - set(allowed))
    if absent:
        there = ", ".join(map(str, allowed))
        return f"the process may not use core {', '.join(map(str, absent))}; it ran on {there}"
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        return f"the system refused it: {error.strerror}"
    return None


def _govern(governor: str, cpus: Path, before: dict[Path, str]) -> str | None:
    for core in process.affinity():
        path = cpus / f"cpu{core}" / "cpufreq" / "scaling_governor"
        try:
            own = path.read_text(encoding="ascii").strip()
            if own == governor:
                continue
            path.write_text(governor, encoding="ascii")
            before[path] = own
        except FileNotFoundError:
            return f"{path} does not exist: this system shows no cpufreq, as most virtual ones"
        except PermissionError:
            return f"permission denied for {path}; let an administrator run: cpupower frequency-set -g {governor}"
        except OSError as error:
            offered = _offered(path)
            return f"{path} does not take '{governor}' ({error.strerror}){offered}"
    return None


def _offered(path: Path) -> str:
    try:
        return f"; it takes: {path.with_name('scaling_available_governors').read_text(encoding='ascii').strip()}"
    except OSError:
        return ""
