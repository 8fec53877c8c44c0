"""Data hygiene: duplicates within and across splits, and hints of wrong labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.record import SOURCE, Record
from edgekit.report.analysis import Analysis
from edgekit.report.figures import Shown, not_measured, not_recorded
from edgekit.report.plain import dig, words

#: From this confidence on, a source that contradicts a label may be right.
SURE = 0.95
_SHOWN = 5
_KEY = "hygiene"


def line(record: Record) -> Shown:
    """How many images of the test split another split holds as well."""
    found = dig(record.data, _KEY)
    if not isinstance(found, dict):
        return not_recorded("this run did not look for duplicates")
    if "not_measured" in found:
        return not_measured(words(found["not_measured"]))
    parts = [f"{_images(one)} of '{one['splits'][1]}' in '{one['splits'][0]}'" for one in found["across"]]
    return Shown(f"duplicates across splits: {'; '.join(parts)}; {_how(found)}")


def table(record: Record, artifacts: Sequence[str]) -> Analysis | None:
    """Every finding on the data; none where the run did not look."""
    found = dig(record.data, _KEY)
    if not isinstance(found, dict) or "not_measured" in found:
        return None
    rows = []
    for one in found["across"]:
        before, after = one["splits"]
        of = f"{_images(one)}, of {found['images'][after]}{_such(one)}"
        rows.append((f"images of '{after}' that '{before}' holds too", [Shown(of)]))
    for one in found["within"]:
        of = f"{_images(one)}, of {found['images'][one['split']]}{_such(one)}"
        rows.append((f"images of '{one['split']}' that it holds twice", [Shown(of)]))
    apart = found.get("different_labels")
    if isinstance(apart, dict):
        rows.append(("such pairs with different labels", [Shown(f"{apart['pairs']}{_such(apart)}")]))
    rows.append(("labels that the source contradicts surely", [_contradicted(record)]))
    said = [
        f"Duplicates: {_how(found)}. Images of one group within a split are left out.",
        f"Contradicted surely: the source, not trained on these test images, gives another class a probability of "
        f"{SURE:g} or more. Such a label may be wrong, or the model surely mistaken: look at them.",
    ]
    return Analysis("Data hygiene", ["check", "finding"], rows, said)


def _how(found: dict[str, Any]) -> str:
    return (
        f"the same pixels, or a perceptual hash within {found['bits']} of 64 bits and a correlation of the detail "
        f"of at least {found['correlation']:g}"
    )


def _images(one: dict[str, Any]) -> str:
    return f"{one['exact']} the same, {one['near']} nearly"


def _such(one: dict[str, Any]) -> str:
    return f" (such as {words(' = '.join(one['first'][0]))})" if one["first"] else ""


def _contradicted(record: Record) -> Shown:
    source = next((one for one in record.predictions if one.artifact == SOURCE), None)
    if source is None or not record.labels:
        return not_measured("the record holds no predictions of the source")
    wrong = [
        index
        for index, (label, called, sure) in enumerate(
            zip(record.labels, source.predicted, source.confidence, strict=False)
        )
        if label != called and sure >= SURE
    ]
    shown = ", ".join(map(str, wrong[:_SHOWN]))
    such = f" (number {shown}{' and so on' if len(wrong) > _SHOWN else ''} of the split)" if wrong else ""
    return Shown(f"{len(wrong)} of {len(record.labels)}{such}")
