"""The tables of ``edgekit compare``, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.record import SOURCE, Record
from edgekit.report import figures, overview, results
from edgekit.report.categories.costs import size
from edgekit.report.comparison import same_images
from edgekit.report.comparison.runs import Run, differing, machines, refuse_across
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
_PAIRED = (
    "Differences are in points, with 95 % intervals: Tango's score interval of pairs for shares of images, put "
    "together over the classes for balanced accuracy, and a paired bootstrap over cases for masks. p is McNemar's, "
    "exact, and in the last column corrected for their number (Holm). Images of one patient count as independent."
)


def render(runs: Sequence[Run], across_machines: bool = False) -> str:
    """Networks, figures on the same images, p50 in ms, size in MB, and the reasons of what is missing.

    Args:
        runs: at least one; others are compared with the first.
        across_machines: show latencies of different machines side by side, and say so on every row.

    Raises:
        InputError: latencies come from different machines, and ``across_machines`` is not set.
    """
    if not across_machines:
        refuse_across(runs)
    apart = bool(differing(runs))
    artifacts = list(dict.fromkeys(name for run in runs for name in results.names(run.record)))
    parts = [
        "## Networks",
        _networks(runs),
        *_paired(runs),
        "## Latency: p50 in ms, and how many times faster than PyTorch as trained",
        "Batch 1. Compare within a row: other rows may have been measured at another time.",
        *_table(runs, artifacts, _latency, _machine if apart else None),
        "## Size of the files in MB",
        *_table(runs, [name for name in artifacts if name not in (SOURCE, results.FUSED)], size),
        "## How it was measured",
        *[f"- {line}" for line in dict.fromkeys(line for run in runs for line in _conditions(run))],
    ]
    return "\n\n".join(parts) + "\n"


def _machine(run: Run) -> str:
    cpus = ", ".join(dict.fromkeys(cpu for _, cpu in machines(run).values())) or "not timed"
    return f"DIFFERENT MACHINES, not comparable between rows; here {cpus}"


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


def _paired(runs: Sequence[Run]) -> list[str]:
    """The part on the same images; nothing where there is one run, or weights that mean nothing."""
    if len(runs) < 2:
        return []
    base = runs[0]
    apart = [
        f"- {markdown(other.name)} is not compared with {markdown(base.name)} image by image: {why}"
        for other in runs[1:]
        if (why := same_images.why_not_same(base.record, other.record)) is not None
    ]
    found = same_images.compared(runs)
    parts = ["## On the same test images"]
    if found:
        heads = ["network", "artifact", "figure", "of the first", "of this", "difference"]
        heads += ["lost, won", "p", "p (Holm)"]
        parts += [f"Each network against the first, {markdown(base.name)}:"]
        parts += [_markdown(heads, [_row(one) for one in found]), _PAIRED]
    if apart:
        parts.append("\n".join(apart))
    if not found and not apart:
        parts.append("The runs hold no predictions to compare: their weights are random, or nothing ran.")
    return parts


def _row(one: same_images.Compared) -> list[str]:
    change, found = one.change, one.change.difference
    low, high = found["interval"] or (None, None)
    bounds = "" if low is None or high is None else f" ({100 * low:+.2f} to {100 * high:+.2f})"
    tested = "mcnemar_p" in found
    return [
        one.other,
        one.artifact,
        change.figure.replace("_", " ").replace("/", " of ").replace("mean dice", "mean Dice"),
        f"{change.before:.3f}",
        f"{change.after:.3f}",
        f"{100 * found['value']:+.2f}{bounds}",
        f"{found['lost']}, {found['won']}" if tested else "does not apply",
        _probability(found["mcnemar_p"]) if tested else "not tested",
        "not tested" if one.corrected is None else _probability(one.corrected),
    ]


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _latency(record: Record, name: str) -> Shown:
    p50, ratio = results.percentile(record, name, 0.5), results.speedup(record, name)
    if p50.value is None or ratio.value is None or name == SOURCE:
        return p50 if p50.value is None else Shown(p50.short)
    return Shown(f"{p50.short} ({ratio.short}x)")


def _table(
    runs: Sequence[Run], artifacts: Sequence[str], shown: Cell, said: Callable[[Run], str] | None = None
) -> list[str]:
    """A row for each run; ``said`` adds a column to each."""
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
        rows.append([*row, said(run)] if said else row)
    reasons = "\n".join(f"{number} {markdown(reason)}  " for number, reason in notes.rows())
    table = _markdown(["network", *artifacts, *(["machine"] if said else [])], rows)
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
