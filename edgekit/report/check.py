"""``edgekit check``: does a record hold together, and does the checklist beside it say what the record says?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit import outputs, store
from edgekit.evaluate.statistics import least_samples
from edgekit.record import Measurement, Record
from edgekit.report import classes, headline, results
from edgekit.report.plain import dig

#: Greatest difference between a figure of the record and the same figure computed again.
_ROUNDING = 1e-9
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where: a key of the record, or a line of the checklist."""

    rule: str
    where: str
    text: str


def check(record: Record, folder: Path | None = None) -> list[Finding]:
    """Everything that does not hold; nothing for an honest record.

    Args:
        record: the record.
        folder: what lies beside it: ``artifacts/`` and ``checklist.md``, each checked where it is there.
    """
    found = [
        *_recipe(record),
        *_measurements(record),
        *_figures(record),
        *_precision(record),
        *_gates(record),
        *_splits(record),
        *_energy(record),
    ]
    if folder is not None:
        found += [*_files(record, folder), *_checklist(record, folder / "checklist.md")]
    return found


def _recipe(record: Record) -> Iterator[Finding]:
    if store.digest(record.recipe) != record.recipe_sha256:
        yield Finding("hash", "recipe", "its sha256 is not that of 'recipe_sha256': one of them was changed")


def _measurements(record: Record) -> Iterator[Finding]:
    """Every artifact has every figure or the reason why not; samples are numbers that can be."""
    names = [one.name for one in record.artifacts]
    for twice in {name for name in names if names.count(name) > 1}:
        yield Finding("artifact", f"artifacts.{twice}", "named twice")
    main = headline.of(record)
    wanted = ["latency_s", main.metric, "ece"]
    # A background has no figures of its own; what one artifact has, every artifact must have or explain.
    every = {row.metric for row in record.measurements}
    wanted += sorted(one for one in every if one.partition("/")[0] in main.per_class)
    for one in record.artifacts:
        for metric in wanted:
            if not record.of(one.name, metric):
                text = "neither a figure nor the reason why there is none"
                yield Finding("missing", f"measurements {one.name} {metric}", text)
    for row in record.measurements:
        where = f"measurements {row.artifact} {row.metric}"
        if row.artifact not in names:
            yield Finding("artifact", where, "no such artifact")
        if row.not_measured_reason is not None and not row.not_measured_reason.strip():
            yield Finding("missing", where, "the reason is blank")
        yield from _samples(row, where)


def _samples(row: Measurement, where: str) -> Iterator[Finding]:
    samples = np.asarray(row.samples or (), np.float64)
    if not np.isfinite(samples).all():
        yield Finding("samples", where, "a sample is not a number")
    elif row.metric.endswith(("_s", "_bytes")) and (samples <= 0).any():
        yield Finding("samples", where, "a time or a size is not above zero")
    units = {"latency_s": "s", "energy_j": "J"}
    if row.unit != units.get(row.metric, row.unit):
        yield Finding("unit", where, f"in '{row.unit}', not '{units[row.metric]}'")
    if row.interval is not None and row.samples and not row.interval[0] <= row.interval[1]:
        yield Finding("interval", where, "its interval is turned round")


def _figures(record: Record) -> Iterator[Finding]:
    """What can be computed again from labels and predictions is."""
    labels = np.asarray(record.labels)
    known = [one.name for one in classes.counts(record)]
    for one in record.predictions:
        predicted = np.asarray(one.predicted)
        if predicted.shape != labels.shape:
            text = f"{len(predicted)} predictions for {len(labels)} labels"
            yield Finding("figure", f"predictions {one.artifact}", text)
            continue
        shares = {"accuracy": float((predicted == labels).mean())} if len(labels) else {}
        for index, name in enumerate(known):
            if (labels == index).any():
                shares[f"sensitivity/{name}"] = float((predicted[labels == index] == index).mean())
        for metric, share in shares.items():
            row = record.value(one.artifact, metric)
            if row is not None and row.samples and abs(row.samples[0] - share) > _ROUNDING:
                text = f"{row.samples[0]:.6g}; its predictions give {share:.6g}"
                yield Finding("figure", f"measurements {one.artifact} {metric}", text)


def _precision(record: Record) -> Iterator[Finding]:
    for one in record.artifacts:
        ran = one.precision_executed
        if one.status == "accepted" and ran not in (None, "unknown", one.precision_requested):
            text = f"accepted as {one.precision_requested}, and ran in {ran}"
            yield Finding("precision", f"artifacts.{one.name}", text)
        if ran in one.layers or not one.layers or ran is None:
            continue
        yield Finding("precision", f"artifacts.{one.name}", f"ran in {ran}, but none of its layers did")


def _gates(record: Record) -> Iterator[Finding]:
    status = {one.name: one.status for one in record.artifacts}
    for gate in record.gates:
        where = f"gates {gate.artifact} {gate.name}"
        if not gate.passed and status.get(gate.artifact) == "accepted":
            yield Finding("gate", where, "lost, and the artifact is accepted")
        if gate.limit is None or gate.value is None:
            continue
        least = "agreement" in gate.name or "masks" in gate.name
        holds = gate.value >= gate.limit if least else gate.value <= gate.limit
        if holds != gate.passed:
            said = "passed" if gate.passed else "lost"
            yield Finding("gate", where, f"{said}, with {gate.value:.6g} for a limit of {gate.limit:.6g}")
    for one in record.artifacts:
        if one.recommended and one.status != "accepted":
            yield Finding("gate", f"artifacts.{one.name}", f"recommended, and {one.status}")


def _splits(record: Record) -> Iterator[Finding]:
    hashes: dict[str, str] = {}
    for name, split in (dig(record.data, "splits") or {}).items():
        images = str(split.get("image_sha256", ""))
        if images and images in hashes:
            yield Finding("split", f"data.splits.{name}", f"the same images as {hashes[images]}")
        hashes[images] = name
    for stage in record.stages:
        used = dig(stage.changes or {}, "calibration", "split")
        if used not in (None, "train"):
            yield Finding(
                "split", f"stages.{stage.name}", f"calibrated on the {used} split; only training images may"
            )


def _energy(record: Record) -> Iterator[Finding]:
    for row in record.measurements:
        if row.metric == "energy_j" and row.samples and "idle_w" not in row.conditions:
            where = f"measurements {row.artifact} energy_j"
            yield Finding("energy", where, "joules without the idle power that was subtracted")


def _files(record: Record, folder: Path) -> Iterator[Finding]:
    """The files of the artifacts, where the folder still holds any."""
    if not (folder / "artifacts").is_dir() and not (folder / "rejected").is_dir():
        return
    for one in record.artifacts:
        if one.status == "not exported":
            continue
        home = (folder / one.path).parent
        inside = home.resolve().is_relative_to(folder.resolve())
        if not inside or not home.is_dir():
            yield Finding("hash", f"artifacts.{one.name}", f"no such file in the folder: {one.path}")
        elif outputs.files_sha256(home) != one.sha256:
            yield Finding("hash", f"artifacts.{one.name}", f"{one.path} is not the file that was measured")


def _checklist(record: Record, path: Path) -> Iterator[Finding]:
    """Each line beside the line that the record gives: a figure that differs was changed by hand."""
    if not path.is_file():
        return
    from edgekit.report import markdown, plots

    titles = {title: f"pictures/{name}" for name, (title, _) in plots.PICTURES.items()}
    there = {title: link for title, link in titles.items() if (path.parent / link).exists()}
    try:
        wanted = markdown.render(record, there).splitlines()
    except (ValueError, KeyError, TypeError) as error:
        yield Finding("text", path.name, f"no checklist can be made of this record: {error}")
        return
    given = path.read_text(encoding="utf-8").splitlines()
    yield from _percentiles(record, given)
    shapes = [[_DIGITS.sub("#", line) for line in lines] for lines in (wanted, given)]
    same = difflib.SequenceMatcher(None, shapes[0], shapes[1], autojunk=False)
    for tag, a, b, c, d in same.get_opcodes():
        if tag == "equal":
            for right, number in zip(range(a, b), range(c, d), strict=True):
                if wanted[right] != given[number]:
                    text = f"{_differing(given[number], wanted[right])}, says the record"
                    yield Finding("figure", f"{path.name}:{number + 1}", text)
        elif d > c:
            yield Finding("text", f"{path.name}:{c + 1}", f"not what the record gives: {given[c].strip()[:80]}")
        elif any(line.strip() for line in wanted[a:b]):
            yield Finding("missing", f"{path.name}:{c + 1}", f"lacks: {wanted[a].strip()[:80]}")


def _differing(given: str, wanted: str) -> str:
    pairs = zip(_DIGITS.findall(given), _DIGITS.findall(wanted), strict=True)
    return ", ".join(f"{one} for {other}" for one, other in pairs if one != other)


def _percentiles(record: Record, lines: list[str]) -> Iterator[Finding]:
    runs = max(
        (len(one.pooled) for name in results.names(record) if (one := results.latency(record, name))), default=0
    )
    for number, line in enumerate(lines, 1):
        for name in re.findall(r"\bp(\d\d)\b\W{0,4}\d[\d.]* ?(?:ms|s|µs)\b", line):
            least = least_samples(int(name) / 100)
            if 0 < runs < least:
                text = f"p{name} needs at least {least} runs, {runs} were timed"
                yield Finding("percentile", f"checklist.md:{number}", text)
