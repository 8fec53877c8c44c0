"""The images that an artifact answers otherwise than the source: the worst, and among whom they are common."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.evaluate.exemplars import prevalence
from edgekit.record import SOURCE, Changed, ChangedImage, Record
from edgekit.report import classes
from edgekit.report.analysis import Analysis
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, counted, does_not_apply, not_measured
from edgekit.report.plain import dig

#: Images of one artifact that the checklist names, and that its table shows.
_NAMED, MOST = 3, 10
#: Groups of each kind that are named of changed predictions and of exemplars, the commonest first.
_FEW, _GROUPS = 3, 12
_DEFINITIONS = {"hooker": "modal label differs (Hooker 2019)", "holste": "lowest rank correlation (Holste 2023)"}


def of(record: Record, artifact: str) -> Changed | None:
    """The changed predictions; none where the record does not hold them one by one."""
    return next((one for one in record.changed if one.artifact == artifact), None)


def worst(record: Record, names: Sequence[str], why: str) -> Shown:
    """A line for each artifact of ``names``; ``why`` none is there."""
    lines = []
    for name in names:
        found = of(record, name)
        if found is None:
            continue
        if not found.count:
            lines.append(f"{oneline(name)}: none")
            continue
        shown = "; ".join(f"{oneline(one.id)} ({move(record, one)})" for one in found.images[:_NAMED])
        lines.append(f"{oneline(name)}: greatest loss: {shown}{_among(record, _places(record, name), _FEW)}")
    return Shown("\n".join(lines)) if lines else not_measured(why)


def table(record: Record, artifacts: Sequence[str]) -> Analysis | None:
    """Of each artifact, the changed predictions that cost the true class most."""
    rows, said = [], []
    for name in artifacts:
        found = of(record, name)
        listed = [one for one in found.images[:MOST] if one.image < len(record.labels)] if found else []
        if found is None or not listed:
            continue
        said.append(f"{oneline(name)}: {len(listed)} of {found.count} changed predictions, the greatest loss first")
        for one in listed:
            classed = (record.labels[one.image], one.before, one.after)
            cells = [name, *(class_name(record, index) for index in classed)]
            cells.append(f"{one.true_before:.3f} → {one.true_after:.3f}")
            rows.append((one.id, [Shown(cell) for cell in cells]))
    if not rows:
        return None
    headings = ["image", "artifact", "true class", "source", "artifact says", "probability of the true class"]
    return Analysis("Changed predictions", headings, rows, said)


def exemplars(record: Record, names: Sequence[str]) -> Shown:
    """Compression-identified exemplars of each artifact, and among whom they are common."""
    if not record.exemplars:
        seeds = dig(record.recipe, "study", "seeds") or ()
        if len(seeds) > 1:
            return not_measured("no artifact was evaluated for two seeds")
        return does_not_apply("they need a population of models: a study with several 'seeds'")
    lines = []
    for one in record.exemplars:
        if one.artifact not in names:
            continue
        head = f"{oneline(one.artifact)}, {_DEFINITIONS[one.definition]}, {len(one.seeds)} seeds"
        if one.images is None:
            lines.append(f"{head}: not found: {oneline(one.not_found_reason or 'no reason recorded')}")
        else:
            images = f"{len(one.images)} of {counted(len(record.labels), 'image')}"
            lines.append(f"{head}: {images}{_among(record, one.images, _GROUPS)}")
    return Shown("\n".join(lines)) if lines else not_measured("the artifacts to use have none in the record")


def move(record: Record, one: ChangedImage) -> str:
    """``melanoma 0.93 → 0.11, now nevus``."""
    true = class_name(record, record.labels[one.image]) if one.image < len(record.labels) else "true class"
    return f"{true} {one.true_before:.2f} → {one.true_after:.2f}, now {class_name(record, one.after)}"


def class_name(record: Record, index: int) -> str:
    """Of the class ``index``."""
    known = classes.counts(record)
    return oneline(known[index].name) if 0 <= index < len(known) else f"class {index}"


def _places(record: Record, artifact: str) -> list[int]:
    """Of all changed predictions in the test split."""
    by_name = {one.artifact: one.predicted for one in record.predictions}
    pairs = zip(by_name.get(SOURCE, ()), by_name.get(artifact, ()), strict=False)
    return [place for place, (before, after) in enumerate(pairs) if before != after]


def _among(record: Record, places: Sequence[int], most: int) -> str:
    text = common(record, places, most)
    return f". Commonest (against the rest) by {text}" if text else ""


def common(record: Record, places: Sequence[int], most: int = _GROUPS) -> str:
    """Among which classes and subgroups the images ``places`` are common: ``class: nevus 5 of 20 (2.1 times)``."""
    if not places or max(places) >= len(record.labels):
        return ""
    kinds = {"class": [class_name(record, label) for label in record.labels]}
    kinds |= {name: list(values) for name, values in record.subgroups.items() if len(values) == len(record.labels)}
    parts = []
    for kind, groups in kinds.items():
        rows = [one for one in prevalence(places, groups) if one.chosen][:most]
        named = (
            f"{oneline(one.group)} {one.chosen} of {one.images}"
            + ("" if one.ratio is None else f" ({one.ratio:.2g} times)")
            for one in rows
        )
        parts.append(f"{oneline(kind)}: {', '.join(named)}")
    return "; ".join(parts)
