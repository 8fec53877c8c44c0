"""The run at a glance: the main table's rows, as the terminal and the Markdown show them, and its warnings."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.record import SOURCE, Artifact, Record
from edgekit.report import figures, headline, results, stability
from edgekit.report.categories.costs import size
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured
from edgekit.report.plain import dig, words

UNTRAINED = "the weights are random: this run shows latency, memory and size only, and says nothing of accuracy"
SYNTHETIC = "the images are synthetic: the figures of accuracy and calibration are no medical evidence"


@dataclass(frozen=True)
class Row:
    """One artifact. ``reference`` marks the two models in PyTorch that the others are compared with."""

    name: str
    runtime: str
    recommended: bool
    reference: bool
    executed: Shown
    size: Shown
    p50: Shown
    p90: Shown
    unstable: bool
    speedup: Shown
    score: Shown
    ece: Shown
    status: str
    reason: str | None


def rows(record: Record) -> list[Row]:
    """The source first, then the fused source, then every exported artifact."""
    return [_row(record, one) for name in results.names(record) if (one := results.artifact(record, name))]


def _row(record: Record, one: Artifact) -> Row:
    reference = one.name in (SOURCE, results.FUSED)
    executed = one.precision_executed
    timed = results.latency(record, one.name)
    return Row(
        name=one.name,
        runtime=figures.runtime(one.runtime),
        recommended=one.recommended and not reference,
        reference=reference,
        executed=Shown(executed) if executed else not_measured(one.reason or "the artifact did not run here"),
        size=size(record, one.name),
        p50=results.percentile(record, one.name, 0.5),
        p90=results.percentile(record, one.name, 0.9),
        unstable=timed is not None and stability.of(timed).unstable,
        speedup=results.speedup(record, one.name),
        score=results.score(record, one.name, headline.of(record).metric),
        ece=results.score(record, one.name, "ece"),
        status="reference" if reference and one.status == "accepted" else one.status,
        reason=None if one.status == "accepted" else one.reason,
    )


def untrained(record: Record) -> bool:
    """Whether the weights are random."""
    return dig(record.recipe, "model", "untrained") is True


def synthetic(record: Record) -> bool:
    """Whether the images were generated."""
    made = dig(record.data, "provenance", "synthetic") is True
    return made or "phantom" in (dig(record.recipe, "data", "kind"), dig(record.data, "name"))


def warnings(record: Record) -> list[str]:
    """What a reader must know before any figure; overlap of the splits is among the data's own notes."""
    found = [UNTRAINED] if untrained(record) else []
    if synthetic(record):
        found.append(words(dig(record.data, "provenance", "statement") or SYNTHETIC))
    found += [words(note).removeprefix("WARNING: ") for note in dig(record.data, "notes") or ()]
    found += [oneline(warning).removeprefix("WARNING: ") for warning in record.warnings]
    return list(dict.fromkeys([*found, *_occasions(record), *_unstable(record), *_not_set(record)]))


def _unstable(record: Record) -> list[str]:
    """The latencies that were not stable when they were taken, all in one warning."""
    found = []
    for name in results.names(record):
        timed = results.latency(record, name)
        if timed is not None and (seen := stability.of(timed)).unstable:
            found.append(f"{oneline(name)} ({'; '.join(seen.causes)})")
    return [f"the latency was unstable while it was taken: {', '.join(found)}"] if found else []


def _not_set(record: Record) -> list[str]:
    """What a target asked of the machine and did not get."""
    found = []
    for name in results.names(record):
        timed = results.latency(record, name)
        refused = timed.conditions.get("not_set") if timed is not None else None
        if isinstance(refused, dict):
            found += [
                f"the target's '{oneline(key)}' could not be set: {words(why)}" for key, why in refused.items()
            ]
    return found


def speedup_is(record: Record) -> str:
    """What the speed-ups are over, and where the p50 beside them is of more runs than they are."""
    text = "over the source as trained, in PyTorch eager"
    source = results.latency(record, SOURCE)
    files = [one for name in results.names(record) if (one := results.latency(record, name))]
    if source is not None and any(len(one.processes) > len(source.processes) for one in files):
        text += (
            ", in the rounds that both have (some files ran in more, to choose between them; their p50 is of all)"
        )
    return text


def _occasions(record: Record) -> list[str]:
    """Says so when the newest latencies come from several occasions, or from a machine that is not the record's."""
    newest = {name: one for name in results.names(record) if (one := results.latency(record, name))}
    found = []
    if len({one.session for one in newest.values()}) > 1:
        found.append("latencies were taken on several occasions: compare them by their speed-ups, each within one")
    for name, machine in results.machines(record).items():
        device = words(dig(machine, "cpu") or "one that does not tell its name")
        found.append(f"{name} was timed on another machine than the rest: {device}")
    return found
