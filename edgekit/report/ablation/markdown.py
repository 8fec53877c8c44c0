"""``ablation.md``: the models, their artifacts by target, the differences to the baseline, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report import escape, figures, headline, overview
from edgekit.report.ablation import exemplars, reading, scores
from edgekit.report.ablation.rows import Row, rows
from edgekit.report.ablation.runs import Runs
from edgekit.report.ablation.scores import FLOAT
from edgekit.report.notes import Notes
from edgekit.report.plain import dig, words

#: Headings of the columns that hold words.
_WORDS = {
    *("candidate", "architecture", "passes", "artifact", "executed", "over", "less", "status"),
    *("definition", "seeds", "commonest among"),
    *("run", "record", "recipe sha256", "git commit", "made (UTC)"),
}
_ONE_OF_MANY = (
    "its networks differ between seeds in their MACs, and the latency is that of the first seed; "
    "'timed_seeds: all' in the study measures every one"
)
_NO_RECORD = "no record: the run failed or was not made; run the study again"


def render(runs: Runs, picture: str | None) -> str:
    """The Markdown text.

    Args:
        runs: all that is shown comes from their records.
        picture: its path, relative to the folder of the text.
    """
    found = rows(runs)
    parts = [f"# Ablation: {escape.markdown(runs.study.name)}", *_head(runs), *_models(runs, found)]
    parts += [part for target in _targets(found) for part in _artifacts(runs, found, target)]
    if picture:
        shown = headline.of(runs.runs[0].record)
        parts += [f"![{shown.study[shown.pictured]} against p50](<{picture}>)"]
    parts += [*_differences(runs, found), *_exemplars(runs), *_reading(runs), *_provenance(runs)]
    return "\n\n".join(parts) + "\n"


def _table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Columns of words to the left, of figures to the right; no cell can break out of the table."""
    lines = [headings, ["---" if heading in _WORDS else "---:" for heading in headings], *body]
    return "\n".join(
        f"| {' | '.join(cell if index == 1 else escape.markdown(cell) for cell in line)} |"
        for index, line in enumerate(lines)
    )


def _noted(notes: Notes) -> list[str]:
    """The reasons of what is missing from a table."""
    found = [f"{number} {escape.markdown(reason)}" for number, reason in notes.rows()]
    return ["  \n".join(found)] if found else []


def _head(runs: Runs) -> list[str]:
    first = runs.runs[0].record
    task = words(dig(first.recipe, "task", "description"))
    tested = words(dig(first.data, "splits", "test", "count"))
    seeds = ", ".join(map(str, runs.study.seeds))
    said = [
        f"{task}; {words(dig(first.data, 'name'))}, {tested} test images.",
        f"{figures.counted(len(runs.study.candidates), 'candidate')}, "
        + (f"each with {figures.counted(len(runs.study.seeds), 'seed')} ({seeds})." if seeds else "one run each."),
    ]
    found = [escape.markdown(" ".join(said))]
    warnings: dict[str, list[str]] = {}
    for one in runs.runs:
        for text in overview.warnings(one.record):
            warnings.setdefault(text, []).append(one.title)
    for candidate, seed in runs.missing:
        warnings.setdefault(_NO_RECORD, []).append(candidate + ("" if seed is None else f", seed {seed}"))
    for candidate in runs.study.candidates:
        if runs.study.timed_seeds == "first" and scores.differs(runs.of(candidate), "macs"):
            warnings.setdefault(_ONE_OF_MANY, []).append(candidate)
    lines = []
    for text, who in warnings.items():
        whose = "all runs" if who == [one.title for one in runs.runs] else "; ".join(who)
        lines.append(f"- **{escape.markdown(whose)}**: {escape.markdown(text)}")
    return [*found, "\n".join(lines)] if lines else found


def _models(runs: Runs, found: list[Row]) -> list[str]:
    metrics = scores.metrics(runs)
    notes = Notes()
    body = []
    for row in found:
        if row.artifact != FLOAT:
            continue
        own = runs.of(row.candidate)
        steps = " → ".join(words(dig(one, "kind")) for one in dig(own[0].record.recipe, "passes") or ()) or "none"
        counts = [scores.counted(own, "parameters", ""), scores.counted(own, "macs", "MAC")]
        cells = [notes.cell(one) for one in (*counts, *row.scores.values(), row.p50)]
        body.append([row.candidate, words(dig(own[0].record.recipe, "model", "architecture")), steps, *cells])
    text = (
        "The floating-point model after all passes, in PyTorch. MACs are of one image; 1 MAC is 2 FLOPs. "
        "Quantization changes neither MACs nor parameters."
    )
    headings = ["candidate", "architecture", "passes", "parameters", "MACs", *metrics.values(), "p50"]
    return ["## Models", text, _table(headings, body), *_noted(notes)]


def _targets(found: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.target for row in found if row.target is not None))


def _artifacts(runs: Runs, found: list[Row], target: str) -> list[str]:
    notes = Notes()
    record = runs.runs[0].record
    body = []
    for row in found:
        if row.target == target:
            shown = (row.precision, *row.scores.values(), row.p50, row.speedup)
            body.append([row.candidate, row.artifact, *map(notes.cell, shown), row.over or "", row.status])
    headings = ["candidate", "artifact", "executed", *scores.metrics(runs).values(), "p50", "speed-up", "over"]
    title = f"{target}: {figures.runtime(words(dig(record.targets, target, 'runtime')))}"
    return [f"## {escape.markdown(title)}", _table([*headings, "status"], body), *_noted(notes)]


def _differences(runs: Runs, found: list[Row]) -> list[str]:
    notes = Notes()
    body = [
        [row.candidate, row.artifact, row.over, *map(notes.cell, row.differences.values())]
        for row in found
        if row.over
    ]
    if not body:
        return []
    text = (
        "Each is the mean of the differences between runs of the same seed: the candidate's figure less that of "
        "what stands beside it. An interval that holds 0 leaves open whether there is a difference. The intervals "
        "are not corrected for their number: of twenty comparisons without a difference, one is expected to leave "
        "0 out."
    )
    headings = ["candidate", "artifact", "less", *scores.metrics(runs).values()]
    return ["## Differences to the baseline", text, _table(headings, body), *_noted(notes)]


def _exemplars(runs: Runs) -> list[str]:
    body = exemplars.rows(runs)
    return ["## Compression-identified exemplars", exemplars.TEXT, _table(exemplars.HEADINGS, body)] if body else []


def _reading(runs: Runs) -> list[str]:
    return ["## How to read it", "\n".join(f"- {escape.markdown(line)}" for line in reading.lines(runs.study))]


def _provenance(runs: Runs) -> list[str]:
    body = [
        [
            one.title,
            one.path,
            one.record.recipe_sha256[:12],
            one.record.git_commit or "none",
            one.record.created_utc,
        ]
        for one in runs.runs
    ]
    found = ["## Records", f"Study sha256 {runs.study.sha256}."]
    found.append(_table(["run", "record", "recipe sha256", "git commit", "made (UTC)"], body))
    if runs.left_out:
        lines = [f"- {escape.markdown(path)}: {escape.markdown(why)}" for path, why in runs.left_out]
        found += ["Records in this folder that are not used:", "\n".join(lines)]
    return found
