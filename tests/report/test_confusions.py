"""The confusions that grew, counted from the predictions of the record."""

from __future__ import annotations

from edgekit.record import Predictions
from edgekit.report import confusions, markdown
from tests.report.conftest import Maker

NAMES = ("healthy", "adenoma", "rare_lesion")


def predictions(artifact: str, predicted: tuple[int, ...]) -> Predictions:
    return Predictions(artifact=artifact, predicted=predicted, confidence=(0.9,) * len(predicted))


def test_pairs_that_grew_are_counted_and_those_that_shrank_are_not() -> None:
    labels = (0,) * 40 + (2,) * 4
    source = predictions("source", (0,) * 38 + (1, 1) + (2, 2, 2, 0))
    other = predictions("cpu-int8", (0,) * 39 + (1,) + (0, 0, 2, 0))
    (only,) = confusions.grown(source, other, labels, NAMES)
    assert only.said == "1 → 3 of 4 (25.0% to 75.0%; only 4 images of the class)"
    assert (only.truth, only.predicted) == ("rare_lesion", "healthy")
    many = confusions.grown(other, source, labels, NAMES)[0]
    assert many.said == "1 → 2 of 40 (2.5% to 5.0%)"


def test_the_largest_growth_comes_first(make: Maker) -> None:
    labels = (0,) * 10 + (1,) * 10
    before, after = (0,) * 10 + (1,) * 10, (1,) * 2 + (0,) * 8 + (2,) * 5 + (1,) * 5
    record = make(labels=labels, predictions=(predictions("source", before), predictions("cpu-int8", after)))
    found = confusions.table(record, ["source", "cpu-int8", "android-fp32"])
    assert found is not None
    assert [name for name, _ in found.rows] == [
        "cpu-int8: adenoma called rare_lesion",
        "cpu-int8: healthy called adenoma",
    ]
    assert "0 → 5 of 10 (0.0% to 50.0%; only 10 images of the class)" in markdown.render(record, {})


def test_nothing_grew(make: Maker) -> None:
    same = (predictions("source", (0, 1)), predictions("cpu-int8", (0, 1)))
    assert confusions.table(make(labels=(0, 0), predictions=same), ["source", "cpu-int8"]) is None
