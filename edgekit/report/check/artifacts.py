"""Artifacts: what ran against what is claimed, and the files beside the record against their hashes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edgekit import outputs, store
from edgekit.errors import InputError
from edgekit.record import SOURCE, Artifact, Record
from edgekit.report import results
from edgekit.report.check.finding import Finding
from edgekit.report.plain import dig

_PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def artifacts(record: Record) -> Iterator[Finding]:
    """Names, statuses and precisions that go together."""
    names = [one.name for one in record.artifacts]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        yield Finding("artifact", f"artifacts.{twice}", "named twice")
    lost = {gate.artifact for gate in record.gates if not gate.passed}
    best: dict[str, str] = {}
    for one in record.artifacts:
        where = f"artifacts.{one.name}"
        yield from _precision(record, one, where)
        if one.status != "accepted" and not (one.reason or "").strip():
            yield Finding("missing", where, f"{one.status}, without a reason")
        if one.status == "rejected" and one.name not in lost:
            yield Finding("gate", where, "rejected, and lost no gate")
        if one.recommended and one.status != "accepted":
            yield Finding("gate", where, f"recommended, and {one.status}")
        if one.recommended and one.target in best:
            yield Finding("gate", where, f"recommended beside {best[one.target]}, on one target")
        if one.recommended:
            best[one.target] = one.name
        if one.status != "not exported" and one.size_bytes <= 0:
            yield Finding("artifact", where, f"its size is {one.size_bytes} bytes")


def _precision(record: Record, one: Artifact, where: str) -> Iterator[Finding]:
    """A precision is the one that was executed, not the one asked for."""
    ran, asked = one.precision_executed, one.precision_requested
    if one.status == "accepted" and ran not in (None, "unknown", asked):
        yield Finding("precision", where, f"accepted as {asked}, and ran in {ran}")
    if ran is None and one.status == "accepted":
        yield Finding("precision", where, "accepted, without a precision that ran")
    if ran is None and results.latency(record, one.name) is not None and one.status != "failed":
        yield Finding("precision", where, "timed, without a precision that ran")
    if ran not in (None, "unknown") and one.layers and not one.layers.get(str(ran)):
        yield Finding("precision", where, f"ran in {ran}, but none of its layers did")
    macs = dig(one.details, "macs_by_precision")
    if isinstance(macs, dict) and sum(macs.values()) and ran == "int8" and not macs.get("int8"):
        yield Finding("precision", where, "ran in int8, but none of its multiply-accumulate operations did")
    # A target's own way to INT8 is called 'cpu-int8-static', and one with the rest in BF16 'cpu-int8-bf16'.
    named = one.name.removeprefix(f"{one.target}-").partition("-")[0]
    if named in _PRECISIONS and named != asked:
        yield Finding("precision", where, f"is called {named}, and asked for {asked}")
    for gate in record.gates:
        told = f"ran {ran} "
        if (gate.artifact, gate.name) == (one.name, "precision") and ran and told not in gate.explanation:
            yield Finding("precision", where, f"ran in {ran}, but its gate says: {gate.explanation}")


def files(record: Record, folder: Path) -> Iterator[Finding]:
    """The files of the artifacts, where the folder still holds any."""
    homes = [home for home in (folder / "artifacts", folder / "rejected") if home.is_dir()]
    if not homes:
        return
    for one in record.artifacts:
        if one.status == "not exported":
            continue
        where = f"artifacts.{one.name}"
        path = folder / one.path
        inside = path.resolve().is_relative_to(folder.resolve())
        if not one.path or not inside or not path.exists():
            yield Finding("hash", where, f"no such file in the folder: {one.path}")
            continue
        found = _sha256(path.parent)
        if found != one.sha256:
            yield Finding("hash", where, f"{one.path} is not the file that was measured")
        elif one.size_bytes not in _sizes(path):
            text = f"{one.size_bytes} bytes; its files have {store.size_bytes(path.parent)}"
            yield Finding("count", where, text)
        if one.status == "accepted" and not one.path.startswith("artifacts/"):
            yield Finding("artifact", where, f"accepted, and lies in {one.path}")
        yield from _card(one, path.parent, where)
    listed = {one.name for one in record.artifacts}
    for home in homes:
        for stray in sorted(path.name for path in home.iterdir() if path.name not in listed):
            yield Finding("artifact", f"{home.name}/{stray}", "the record tells of no such artifact")


def _sha256(home: Path) -> str | None:
    try:
        return outputs.files_sha256(home)
    except InputError:
        return None


def _sizes(path: Path) -> set[int]:
    """Of the file, and of all files of the artifact without what edgekit put beside them."""
    own = (outputs.CARD, outputs.EXAMPLE, "stage.json")
    return {
        store.size_bytes(path),
        sum(store.size_bytes(one) for one in path.parent.iterdir() if one.name not in own),
    }


def _card(one: Artifact, home: Path, where: str) -> Iterator[Finding]:
    """``model.json`` beside an artifact says the same of it."""
    path = home / outputs.CARD
    if one.name == SOURCE or not path.is_file():
        return
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        yield Finding("hash", where, f"{outputs.CARD} beside it cannot be read")
        return
    told = {"artifact": one.name, "runtime": one.runtime, "precision": one.precision_requested}
    for key, value in told.items():
        if dig(card, key) not in (None, value):
            yield Finding("artifact", where, f"{outputs.CARD} beside it says {key} {dig(card, key)}, not {value}")
