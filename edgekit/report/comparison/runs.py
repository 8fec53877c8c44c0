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


def machines(run: Run) -> dict[str, tuple[str, str]]:
    """Artifact -> fingerprint and processor of the machine on which its newest latency was taken."""
    found = {}
    for name in results.names(run.record):
        one = results.latency(run.record, name)
        if one is not None:
            machine = dig(one.conditions, "machine") or run.record.machine
            found[name] = fingerprint(machine), words(dig(machine, "cpu") or "a machine not recorded")
    return found


def differing(runs: Sequence[Run]) -> dict[str, str]:
    """Run -> processor of the machines that cannot be compared; nothing where all can.

    A run may have files on several devices. Those of one name are set side by side, so they must be of one machine;
    runs that have no file in common must be of one machine at least in part.
    """
    timed = [(run.name, machines(run)) for run in runs]
    apart: dict[str, str] = {}
    for at, (name, mine) in enumerate(timed):
        for other, theirs in timed[at + 1 :]:
            both = mine.keys() & theirs.keys()
            unlike = {artifact for artifact in both if mine[artifact][0] != theirs[artifact][0]}
            if not both and {one for one, _ in mine.values()}.isdisjoint({one for one, _ in theirs.values()}):
                unlike = (mine.keys() | theirs.keys()) if mine and theirs else set()
            if unlike:
                apart |= {name: _cpus(mine, unlike), other: _cpus(theirs, unlike)}
    return apart


def _cpus(timed: dict[str, tuple[str, str]], names: set[str]) -> str:
    return ", ".join(dict.fromkeys(cpu for name, (_, cpu) in timed.items() if name in names))


def refuse_across(runs: Sequence[Run]) -> None:
    """Latencies of different machines say nothing of the networks.

    Raises:
        InputError: the runs were timed on more than one machine.
    """
    found = differing(runs)
    if found:
        said = "; ".join(f"{name}: {cpu}" for name, cpu in found.items())
        raise InputError(
            f"latencies were taken on different machines, and are not compared ({said})",
            remedy="measure on one machine with 'edgekit bench', or add --across-machines: every row then says so",
        )
