"""The table of a cross-validation, from the record alone."""

from __future__ import annotations

from edgekit.record import Record
from edgekit.report import markdown
from edgekit.report.cross_validation import cross_validation

FOUND = {
    "folds": 5,
    "seeds": [0, 1],
    "images": 624,
    "groups": 500,
    "method": "Student's t over the folds",
    "figures": {"accuracy": {"mean": 0.8962, "std": 0.0138, "interval": [0.879, 0.9133], "n": 5}},
}


def test_no_table_without_one(record: Record) -> None:
    assert cross_validation(record) is None
    assert "### Cross-validation" not in markdown.render(record, {})


def test_figures_over_folds(record: Record) -> None:
    first, *others = record.stages
    changed = first.model_copy(update={"changes": {**first.changes, "cross_validation": FOUND}})
    made = record.model_copy(update={"stages": (changed, *others)})
    text = markdown.render(made, {})
    assert "| accuracy | 0.896 | 0.014 | 0.879 to 0.913 |" in text
    assert "5 folds, 2 seeds, 624 training and validation images together, in 500 groups" in text
    assert "Student's t over the folds. The test split is not among these images." in text


def test_a_damaged_one_is_said_to_be_so(record: Record) -> None:
    first, *others = record.stages
    changed = first.model_copy(update={"changes": {"cross_validation": {"figures": {"nll": {"mean": "x"}}}}})
    found = cross_validation(record.model_copy(update={"stages": (changed, *others)}))
    assert found is not None
    assert found.rows == [("nll", ["not recorded"] * 3)]
