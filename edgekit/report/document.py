"""What a checklist says, in whatever form: a summary, the nine categories, classes, passes, gates, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.record import SOURCE, Record
from edgekit.report import analyses, classes, cross_validation, headline, overview, results, sensitivity
from edgekit.report.categories import safety
from edgekit.report.checklist import rows
from edgekit.report.figures import Shown, not_measured, not_recorded
from edgekit.report.items import Item, Section, item, per_artifact
from edgekit.report.notes import Notes
from edgekit.report.plain import dig, stated, words
from edgekit.report.stages import passes
from edgekit.report.steps import steps


@dataclass(frozen=True)
class FigureTable:
    """Headings, one row an artifact or class, and the reasons of what is missing."""

    names: list[str]
    rows: list[tuple[str, list[str]]]
    notes: list[tuple[str, str]]


def content(record: Record) -> dict[str, Any]:
    """What the templates show, as plain text that each form escapes in its own way."""
    notes = Notes()
    table = [(row, _cells(row, notes)) for row in overview.rows(record)]
    return {
        "record": record,
        "model": words(dig(record.recipe, "model", "architecture")),
        "task": words(dig(record.recipe, "task", "description")),
        "modality": words(dig(record.recipe, "task", "modality")),
        "data": words(dig(record.data, "name")),
        "classes": len(classes.counts(record)),
        "tested": words(dig(record.data, "splits", "test", "count")),
        "steps": _passes(record),
        "warnings": overview.warnings(record),
        "choices": _choices(record),
        "table": table,
        "speedup_is": overview.speedup_is(record),
        "headline": headline.of(record),
        "notes": notes.rows(),
        "rare": safety.rare_classes(record),
        "rare_rule": classes.RULE,
        "sections": [(section, _bullets(section), _table(section)) for section in rows(record)],
        "class_counts": classes.rarest_first(record),
        "class_tables": [_classes(record, metric) for metric in headline.of(record).per_class],
        "analyses": _analyses(record),
        "gates": _gates(record),
        "passes": passes(record),
        "steps_table": _steps(record),
        "folds": cross_validation.cross_validation(record),
        "fold_names": cross_validation.NAMES,
        "layers_table": _layers(record),
        "provenance": _provenance(record),
    }


def summary(record: Record) -> Section:
    """What the first page of the checklist says, as items of a category, for a form without wide tables."""
    rows = {row.name: row for row in overview.rows(record)}
    main = headline.of(record)
    choices = [f"{target}: {artifact} ({why})" for target, artifact, why in _choices(record)]
    status = {name: ": ".join(filter(None, (row.status, row.reason))) for name, row in rows.items()}
    none = "the record names no target"
    return Section(
        "Summary",
        [
            item("Model", stated(dig(record.recipe, "model", "architecture"), "the recipe does not state it")),
            item("Passes", Shown(_passes(record))),
            item("Artifact to use", Shown("\n".join(choices)) if choices else not_recorded(none)),
            per_artifact(main.heading[0].upper() + main.heading[1:], rows, lambda name: rows[name].score),
            per_artifact("Speed-up over the source", rows, lambda name: rows[name].speedup),
            per_artifact("Status", rows, lambda name: Shown(status[name])),
        ],
    )


def _passes(record: Record) -> str:
    return " → ".join(words(dig(one, "kind")) for one in dig(record.recipe, "passes") or ()) or "none"


def _cells(row: overview.Row, notes: Notes) -> list[str]:
    figures = (row.executed, row.size, row.p50, row.p90, row.speedup, row.score, row.ece)
    cells = [row.runtime, *(notes.cell(shown) for shown in figures)]
    if row.unstable:
        cells[3] += ", unstable"  # beside the p50
    return [*cells, row.status if row.reason is None else f"{row.status} {notes.refer(row.reason)}"]


def _bullets(section: Section) -> list[tuple[Item, str | None]]:
    """The items that are no column, each with the name of the one above that holds the same lines."""
    found: list[tuple[Item, str | None]] = []
    first: dict[tuple[str, ...], str] = {}
    for one in section.items:
        if one.column:
            continue
        lines = tuple(one.lines)
        found.append((one, first.get(lines) if len(lines) > 1 else None))
        first.setdefault(lines, one.name)
    return found


def _table(section: Section) -> FigureTable | None:
    columns = [one for one in section.items if one.column]
    if not columns:
        return None
    notes = Notes()
    artifacts = dict.fromkeys(name for one in columns for name in one.each)
    absent = not_measured("the record does not hold it")
    found = [(name, [notes.cell(one.each.get(name, absent)) for one in columns]) for name in artifacts]
    return FigureTable([one.name for one in columns], found, notes.rows())


def _choices(record: Record) -> list[tuple[str, str, str]]:
    """Target, the artifact to use on it, and why."""
    targets = dict.fromkeys([*record.targets, *(one.target for one in results.exported(record))])
    found = []
    for target in targets:
        of_target = [one for one in results.exported(record) if one.target == target]
        best = next((one for one in of_target if one.recommended), None)
        if best is not None:
            found.append((target, best.name, best.advice or "the record gives no reason"))
            continue
        why = "; ".join(f"{one.name} {one.status}" for one in of_target) or "no artifact was made for it"
        found.append((target, "none", next((one.advice for one in of_target if one.advice), None) or why))
    return found


def _classes(record: Record, metric: str) -> FigureTable:
    """The figure of every class, of the source and the compared artifacts; no rows where none was measured."""
    names = [SOURCE, *safety.compared(record)]
    notes = Notes()
    shown = [
        (one.name, [results.score(record, name, f"{metric}/{one.name}") for name in names])
        for one in classes.rarest_first(record)
    ]
    measured = any(figure.value for _, figures in shown for figure in figures)
    cells = [(name, [notes.cell(figure) for figure in figures]) for name, figures in shown]
    return FigureTable([headline.WORDS.get(metric, metric), *names], cells if measured else [], notes.rows())


def _analyses(record: Record) -> list[tuple[str, FigureTable, list[str]]]:
    """Title, table and sentences of each analysis that the record holds."""
    made = []
    for one in analyses.tables(record, [SOURCE, *safety.compared(record)]):
        notes = Notes()
        rows = [(name, [notes.cell(shown) for shown in cells]) for name, cells in one.rows]
        made.append((one.title, FigureTable(one.headings, rows, notes.rows()), one.said))
    return made


def _steps(record: Record) -> FigureTable:
    """What each pass brought; no rows where no pass changes predictions or speed."""
    found = steps(record)
    notes = Notes()
    names = ["parameters", "MACs", *found.headings, "speed-up on each target"]
    rows = [
        (
            one.name if one.kept else f"{one.name} (rejected)",
            [one.parameters, one.macs, *(notes.cell(shown) for shown in one.shown), notes.cell(one.latency)],
        )
        for one in found.rows
    ]
    return FigureTable(names, rows, notes.rows())


def _layers(record: Record) -> tuple[tuple[str, ...], list[tuple[str, list[str]]], list[str]] | None:
    """Headings, rows and sentences of the sensitivity analysis; none where no pass made one."""
    found = sensitivity.analysis(record)
    return None if found is None else (sensitivity.names(found), sensitivity.cells(found), sensitivity.notes(found))


def _gates(record: Record) -> list[tuple[str, bool, str]]:
    """Artifact, whether it passed, and the explanation of every gate, the lost ones first."""
    found = []
    for name in dict.fromkeys(gate.artifact for gate in record.gates):
        own = sorted((gate for gate in record.gates if gate.artifact == name), key=lambda gate: gate.passed)
        text = " · ".join(f"{gate.name}{'' if gate.passed else ' LOST'}: {gate.explanation}" for gate in own)
        found.append((name, all(gate.passed for gate in own), text))
    return found


def _provenance(record: Record) -> list[tuple[str, str]]:
    dirty = {True: ", with uncommitted changes", False: "", None: ""}[record.git_dirty]
    found = [
        ("edgekit", record.edgekit_version),
        ("git commit", f"{record.git_commit}{dirty}" if record.git_commit else "not recorded: no git checkout"),
        ("record made (UTC)", record.created_utc),
        ("command", record.command),
        ("recipe sha256", record.recipe_sha256),
    ]
    for name, split in (dig(record.data, "splits") or {}).items():
        found.append((f"{name} images sha256", words(dig(split, "image_sha256"))))
    for key, value in (dig(record.data, "provenance") or {}).items():
        found.append((f"data: {key}", words(value)))
    found += [(f"{one.name} sha256 ({one.path or 'no file'})", one.sha256) for one in record.artifacts]
    return [(name, value if value.strip() else "not recorded") for name, value in found]
