"""What a reader sees of the data's own faults."""

from __future__ import annotations

from typing import Any

from edgekit.record import Predictions
from edgekit.report import hygiene, markdown
from tests.report.conftest import Maker

FOUND: dict[str, Any] = {
    "images": {"train": 900, "val": 100, "test": 200},
    "bits": 10,
    "correlation": 0.82,
    "across": [
        {"splits": ["train", "val"], "exact": 0, "near": 0, "first": []},
        {"splits": ["train", "test"], "exact": 1, "near": 2, "first": [["a.png", "b.png"]]},
        {"splits": ["val", "test"], "exact": 0, "near": 0, "first": []},
    ],
    "within": [{"split": "train", "exact": 4, "near": 0, "first": [["c.png", "d.png"]]}],
    "different_labels": {"pairs": 1, "first": [["a.png", "b.png"]]},
}


def test_the_table_and_the_line(make: Maker) -> None:
    source = Predictions(artifact="source", predicted=(0, 1, 1, 0), confidence=(0.99, 0.96, 0.99, 0.7))
    record = make(labels=(0, 0, 1, 1), predictions=(source,))
    record = record.model_copy(update={"data": {**record.data, "hygiene": FOUND}})
    found = hygiene.table(record, [])
    assert found is not None
    such = "(such as a.png = b.png)"
    cells = {name: shown[0].text for name, shown in found.rows}
    assert cells["images of 'test' that 'train' holds too"] == f"1 the same, 2 nearly, of 200 {such}"
    assert cells["images of 'train' that it holds twice"] == "4 the same, 0 nearly, of 900 (such as c.png = d.png)"
    assert cells["such pairs with different labels"] == f"1 {such}"
    # Of the two that are wrong, one is sure.
    assert cells["labels that the source contradicts surely"] == "1 of 4 (number 1 of the split)"
    assert "1 the same, 2 nearly of 'test' in 'train'" in (hygiene.line(record).value or "")
    assert "### Data hygiene" in markdown.render(record, {})


def test_why_there_is_none(make: Maker) -> None:
    record = make()
    assert hygiene.line(record).reason == "not recorded: this run did not look for duplicates"
    ignored = {"not_measured": "the recipe says data.leakage: ignore"}
    record = record.model_copy(update={"data": {**record.data, "hygiene": ignored}})
    assert hygiene.line(record).reason == "not measured: the recipe says data.leakage: ignore"
    assert hygiene.table(record, []) is None
