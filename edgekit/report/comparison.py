"""Several runs side by side: their networks, and the latency and size of their files. ``edgekit compare``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import record as records
from edgekit.record import SOURCE, Record
from edgekit.report import figures, overview, results
from edgekit.report.categories.costs import size
from edgekit.report.escape import markdown, oneline
from edgekit.report.figures import Shown, not_measured
from edgekit.report.notes import Notes
from edgekit.report.plain import dig, words

Cell = Callable[[Record, str], Shown]
#: What is said of the conditions of a measurement, with the unit.
_PROTOCOL = (
    ("threads", "thread(s)"),
    ("processes", "processes"),
    ("warmup", "warm-up runs"),
    ("runs", "timed runs"),
)


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
    found = [record for path in paths for record in map(records.read, records.find(path))]
    networks = [_network(record) for record in found]
    # A network that stands once is called by its name alone.
    return [
        Run(network if networks.count(network) == 1 else f"{network} ({dig(record.recipe, 'name')})", record)
        for network, record in zip(networks, found, strict=True)
    ]


def render(runs: Sequence[Run]) -> str:
    """Markdown: the networks, p50 in ms, the size of the files in MB, and the reasons of what is missing."""
    artifacts = list(dict.fromkeys(name for run in runs for name in results.names(run.record)))
    parts = [
        "## Networks",
        _networks(runs),
        "## Latency: p50 in ms, and how many times faster than PyTorch as trained",
        "Batch 1. Compare within a row: other rows may have been measured at another time.",
        *_table(runs, artifacts, _latency),
        "## Size of the files in MB",
        *_table(runs, [name for name in artifacts if name not in (SOURCE, results.FUSED)], size),
        "## How it was measured",
        *[f"- {line}" for line in dict.fromkeys(line for run in runs for line in _conditions(run))],
    ]
    return "\n\n".join(parts) + "\n"


def _network(record: Record) -> str:
    return words(dig(record.recipe, "model", "architecture") or "unknown network")


def _networks(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        stages = [stage.changes for stage in run.record.stages if "parameters_after" in stage.changes]
        first, last = (stages[0], stages[-1]) if stages else ({}, {})
        shape = [dig(run.record.recipe, "input", "channels"), *(dig(run.record.recipe, "input", "size") or ())]
        rows.append(
            [
                run.name,
                words(dig(run.record.recipe, "task", "kind") or "unknown"),
                " x ".join(map(str, shape)),
                *(_count(one.get("parameters_after"), 1e6, "M") for one in (first, last)),
                *(_count(one.get("macs_after"), 1e9, "G") for one in (first, last)),
                "random" if overview.untrained(run.record) else "trained",
            ]
        )
    heads = ["network", "task", "input", "parameters", "as shipped", "MACs", "as shipped", "weights"]
    return _markdown(heads, rows)


def _count(value: object, unit: float, sign: str) -> str:
    if not isinstance(value, int | float):
        return "not counted"
    return f"{figures.figure(value / unit, None, None).short} {sign}"


def _latency(record: Record, name: str) -> Shown:
    p50, ratio = results.percentile(record, name, 0.5), results.speedup(record, name)
    if p50.value is None or ratio.value is None or name == SOURCE:
        return p50 if p50.value is None else Shown(p50.short)
    return Shown(f"{p50.short} ({ratio.short}x)")


def _table(runs: Sequence[Run], artifacts: Sequence[str], shown: Cell) -> list[str]:
    notes = Notes()
    rows = []
    for run in runs:
        row = [run.name]
        for name in artifacts:
            one = results.artifact(run.record, name)
            figure = shown(run.record, name) if one else not_measured("not among the files of this run")
            rejected = one is not None and one.status == "rejected"
            mark = notes.refer(f"rejected: {one.reason}") if one and rejected else ""
            row.append(" ".join(filter(None, (notes.cell(figure), mark))))
        rows.append(row)
    reasons = "\n".join(f"{number} {markdown(reason)}  " for number, reason in notes.rows())
    table = _markdown(["network", *artifacts], rows)
    return [table, reasons] if reasons else [table]


def _conditions(run: Run) -> list[str]:
    found = []
    for name in results.names(run.record):
        if (one := results.latency(run.record, name)) is not None:
            cpu = (
                dig(one.conditions, "machine", "cpu") or dig(run.record.machine, "cpu") or "a machine not recorded"
            )
            known = [f"{dig(one.conditions, key)} {what}" for key, what in _PROTOCOL if dig(one.conditions, key)]
            found.append(f"{words(cpu)}: {one.method}; {', '.join(map(oneline, known))}")
    return found


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *[[markdown(one) for one in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
