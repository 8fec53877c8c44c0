"""Latencies of a study: those of its one session, which alone can be compared between runs."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from edgekit.evaluate import statistics
from edgekit.evaluate.repeats import repeated
from edgekit.measure.together import SESSION
from edgekit.report import figures, results
from edgekit.report.ablation.runs import One
from edgekit.report.ablation.scores import in_record, reference
from edgekit.report.figures import Shown, not_measured
from edgekit.report.results import Latency, Samples


def latency(run: One, artifact: str) -> Latency | None:
    """The samples from the study's session."""
    rounds = results.rounds(run.record, in_record(run.record, artifact))
    return next((one for one in reversed(rounds) if SESSION in one.conditions), None)


def p50_s(runs: Sequence[One], artifact: str) -> tuple[float, float | None, float | None] | None:
    """p50 in seconds and its 95 % interval: of the one timed seed, or over the timed seeds.

    None where no seed was timed, or not often enough for a median.
    """
    found = [one for run in runs if (one := latency(run, artifact))]
    medians = [statistics.quantile(one.pooled, 0.5) for one in found]
    if not medians or not all(one.allowed for one in medians):
        return None
    if len(medians) == 1:
        return medians[0].value, medians[0].low, medians[0].high
    over = repeated([one.value for one in medians])
    return over.mean, over.low, over.high


def p50(runs: Sequence[One], artifact: str) -> Shown:
    """p50 in ms with its interval."""
    found = p50_s(runs, artifact)
    if found is not None:
        value, low, high = (None if one is None else one * 1e3 for one in found)
        return figures.figure(value or 0.0, low, high, " ms")
    for run in runs:
        if (one := latency(run, artifact)) is not None:
            least = statistics.least_samples(0.5)
            why = f"p50 needs at least {least} runs, {len(one.pooled)} were timed"
            return Shown(why=why, kind="not printed", short=f"n<{least}")
    if not runs:
        return not_measured("this run left no record")
    return not_measured(results.why_not(runs[0].record, in_record(runs[0].record, artifact), "latency_s"))


def speedup(runs: Sequence[One], base: Sequence[One], artifact: str) -> Shown:
    """How many times faster than its reference of the baseline, timed in the same session.

    With one timed seed the interval is that of ``statistics.speedup``, with several it is over the seeds.
    """
    other = {run.study.seed: run for run in base}
    ratios = []
    for run in runs:
        pair = other.get(run.study.seed)
        if pair is None:
            continue
        own = latency(run, artifact)
        of_base = latency(pair, reference(run.record, artifact, pair.record))
        if own is None or of_base is None or own.conditions[SESSION] != of_base.conditions[SESSION]:
            continue
        if own.conditions.get("timed_as") == of_base.conditions.get("timed_as"):
            return Shown("1 (the same file)", short="1")
        ratios.append((of_base.processes, own.processes))
    if not ratios:
        return not_measured("the two were not timed in the same session")
    if len(ratios) == 1:
        return figures.figure(*_ratio(*ratios[0]), "x")
    one = repeated([_median(slow) / _median(fast) for slow, fast in ratios])
    return figures.figure(one.mean, one.low, one.high, "x")


def _median(processes: Samples) -> float:
    return float(np.median(np.concatenate(processes)))


@functools.lru_cache(maxsize=1024)
def _ratio(base: Samples, other: Samples) -> tuple[float, float, float]:
    """The bootstrap takes a while, and the text and the terminal show the same figure."""
    return statistics.speedup(base, other)
