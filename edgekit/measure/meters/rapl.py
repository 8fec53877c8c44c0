"""The running average power limit counters of Intel's and AMD's CPUs, in Linux' powercap tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.measure.meters.base import Absent, integer_of, text_of
from edgekit.measure.meters.counter import FileCounter

POWERCAP = Path("sys/class/powercap")
#: The hardware updates about once a millisecond (Intel SDM volume 3, section "RAPL interfaces"; AMD likewise).
UPDATE_PERIOD_S = 1e-3
_LEFT_OUT = {"dram": "DRAM", "psys": "the rest of the platform"}


def find(root: Path, domains: Sequence[str] = ("package",)) -> FileCounter | Absent:
    """The counters of all packages, or of the domains asked for.

    A package's own parts (``core``, ``uncore``) are inside it, and are never added to it. ``dram`` lies beside the
    package, and ``psys`` holds the whole platform. AMD's counters appear under the same names. Folders
    ``intel-rapl-mmio:*`` show a package a second time and are passed over.

    Args:
        root: where ``sys`` is.
        domains: ``package``, ``dram``, ``core``, ``uncore``, ``psys``.
    """
    tree = root / POWERCAP
    if not tree.is_dir():
        return Absent(f"no RAPL counters: {tree} does not exist (not Linux, a virtual machine, or no such CPU)")
    folders: dict[Path, str] = {}
    for folder in sorted(tree.glob("intel-rapl:*")):
        try:
            folders[folder] = text_of(folder / "name")
        except OSError as error:
            return Absent(f"the RAPL counter {folder} cannot be read: {error.strerror}")
    chosen: list[Path] = []
    for domain in domains:
        # 'package-0', or 'package-0-die-1'; the others bear the domain's name alone, one in each package.
        own = [one for one, name in folders.items() if name == domain or name.startswith(f"{domain}-")]
        if not own:
            there = ", ".join(dict.fromkeys(folders.values())) or "none"
            why = "a virtual machine, or no such CPU" if not folders else f"there are: {there}"
            return Absent(f"no RAPL {domain} counter below {tree} ({why})")
        chosen += own
    try:
        counters = [(one / "energy_uj", integer_of(one / "max_energy_range_uj")) for one in chosen]
        if any(wrap <= 0 for _, wrap in counters):
            return Absent(f"the RAPL counter {chosen[0]} cannot be read: its max_energy_range_uj is not above 0")
        return FileCounter("RAPL (powercap)", _scope(chosen, folders), counters, UPDATE_PERIOD_S)
    except PermissionError as error:
        return Absent(
            f"permission denied for {error.filename or chosen[0] / 'energy_uj'}; "
            f"let an administrator run: chmod a+r {tree}/intel-rapl:*/energy_uj (until the next start)"
        )
    except (OSError, ValueError) as error:
        return Absent(f"the RAPL counter {chosen[0]} cannot be read: {error}")


def _scope(chosen: Sequence[Path], folders: dict[Path, str]) -> str:
    names = [folders[one] for one in chosen]
    others = set(folders.values()) - set(names)
    without = [text for domain, text in _LEFT_OUT.items() if domain in others and "psys" not in names]
    packages = sum(name.startswith("package") for name in names)
    head = f"{packages} CPU package{'s' if packages > 1 else ''}: " if packages == len(names) else ""
    return f"{head}{', '.join(names)}" + (f"; without {' and '.join(without)}" if without else "")
