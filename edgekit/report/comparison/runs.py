"""The runs that are set side by side, how each is called, and on which machines its latencies were taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import record as records
from edgekit.errors import InputError
from edgekit.measure.machine import fingerprint
from edgekit.record import Record
from edgekit.report import results
from edgekit.report.plain import dig, words


@dataclass(frozen=True)
class Run:
    """A record and how it is called in the tables."""

    name: str
    record: Record


def read(paths: Sequence[Path]) -> list[Run]:
    """The records at ``paths``: files, folders that hold one, or folders of such folders, such as a study's.

    Raises:
        InputError: a path holds no record, or one that cannot be read.
    """
    files = [file for path in paths for file in records.find(path)]
    found = [records.read(file) for file in files]
    # A network that stands once is called by its name alone; the recipe, then the folder, tell others apart.
    names = [words(dig(record.recipe, "model", "architecture") or "unknown network") for record in found]
    for more in (
        [words(dig(record.recipe, "name")) for record in found],
        ["/".join(file.resolve().parent.parts[-2:]) for file in files],
        [str(number) for number in range(1, len(files) + 1)],
    ):
        often = Counter(names)
        names = [name if often[name] == 1 else f"{name} ({one})" for name, one in zip(names, more, strict=True)]
    return [Run(name, record) for name, record in zip(names, found, strict=True)]


def machines(run: Run) -> dict[str, str]:
    """Fingerprint -> processor of every machine on which the newest latencies of a run were taken."""
    found = {}
    for name in results.names(run.record):
        one = results.latency(run.record, name)
        if one is not None:
            machine = dig(one.conditions, "machine") or run.record.machine
            found[fingerprint(machine)] = words(dig(machine, "cpu") or "a machine not recorded")
    return found


def refuse_across(runs: Sequence[Run]) -> None:
    """Latencies of different machines say nothing of the networks.

    Raises:
        InputError: the runs were timed on more than one machine.
    """
    found: dict[str, tuple[str, str]] = {}
    for run in runs:
        for machine, cpu in machines(run).items():
            found.setdefault(machine, (run.name, cpu))
    if len(found) > 1:
        said = "; ".join(f"{name}: {cpu}" for name, cpu in found.values())
        raise InputError(
            f"latencies were taken on {len(found)} machines, and are not compared ({said})",
            remedy="measure on one machine with 'edgekit bench', or add --across-machines: every row then says so",
        )
