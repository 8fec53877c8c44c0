"""What a reader sees of images out of distribution."""

from __future__ import annotations

from edgekit.record import Measurement
from edgekit.report import markdown, out_of_distribution
from edgekit.report.categories import safety
from tests.report.conftest import Maker


def test_the_line_and_the_table(make: Maker) -> None:
    record = make()
    rows = [
        Measurement(
            artifact=artifact,
            metric=f"{kind}/noise",
            unit="share",
            samples=(value,),
            method="on other images",
            interval=(value - 0.1, value + 0.1),
        )
        for artifact, value in (("source", 0.8), ("cpu-int8", 0.6))
        for kind in ("ood_auroc", "ood_fpr95", "ood_confidence")
    ]
    record = record.model_copy(update={"measurements": (*record.measurements, *rows)})
    text = {one.name: one.value or "" for one in safety.items(record)}["Confidence out of distribution"]
    assert text.startswith("AUROC of the confidence against noise: source 0.800 (0.700 to 0.900) → ")
    assert "cpu-int8 0.600 (0.500 to 0.700)" in text
    found = out_of_distribution.table(record, ["source", "cpu-int8"])
    assert found is not None
    assert [name for name, _ in found.rows] == ["noise: AUROC", "noise: accepted at 95 %", "noise: mean confidence"]
    assert "### Images out of distribution" in markdown.render(record, {})


def test_why_there_is_none(make: Maker) -> None:
    found = out_of_distribution.line(make(), [])
    assert found.reason == "not measured: the recipe does not ask for evaluation.out_of_distribution"
    recipe = make().recipe
    dense = make(recipe=recipe | {"task": recipe["task"] | {"kind": "segmentation"}})
    assert (out_of_distribution.line(dense, []).reason or "").startswith("does not apply")
