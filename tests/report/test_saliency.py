"""What a reader sees of saliency agreement."""

from __future__ import annotations

from pathlib import Path

from edgekit.record import Measurement, Record
from edgekit.report import markdown, plots, saliency
from edgekit.report.categories import safety
from tests.report.conftest import Maker


def with_saliency(record: Record) -> Record:
    maps = {"source": [[[0.0, 1.0], [0.5, -0.2]]] * 4, "artifact": [[[0.1, 1.0], [0.4, -0.2]]] * 4}

    def row(artifact: str, metric: str, value: float) -> Measurement:
        return Measurement(
            artifact=artifact,
            metric=metric,
            unit="correlation",
            samples=(value,),
            method="on the same images",
            conditions={"images": 16, "of_other_images": 0.31, "maps": maps},
            interval=(value - 0.05, value + 0.01),
        )

    rows = (
        row("source-fused", "saliency_rank_correlation", 1.0),
        row("source-fused", "saliency_rank_correlation/grad_cam", 0.99),
        row("cpu-int8", "saliency_rank_correlation", 0.93),
    )
    return record.model_copy(update={"measurements": (*record.measurements, *rows)})


def test_the_line_the_table_and_the_picture(make: Maker, tmp_path: Path) -> None:
    record = with_saliency(make())
    items = {one.name: one.value or "" for one in safety.items(record)}
    assert items["Saliency agreement"] == (
        "cpu-int8: rank correlation of its maps with the source's 0.930 (0.880 to 0.940) on 16 images; of maps of "
        "different images 0.310"
    )
    found = saliency.table(record, ["source", "cpu-int8"])
    assert found is not None
    assert found.headings == ["figure", "source", "source-fused", "cpu-int8"]
    cells = {name: [one.text for one in shown] for name, shown in found.rows}
    assert cells["rank correlation, Grad-CAM"][1:] == [
        "0.990 (0.940 to 1.000)",
        "does not apply: an exported file has no gradients",
    ]
    assert "### Saliency agreement" in markdown.render(record, {})
    title = "Saliency maps of source and artifact, without the images"
    assert plots.write(record, tmp_path)[title].stat().st_size > 5_000


def test_why_there_is_none(make: Maker) -> None:
    found = saliency.line(make(), ["cpu-int8"])
    assert found.reason == "not measured: the recipe does not ask for evaluation.saliency"
    assert saliency.table(make(), ["source", "cpu-int8"]) is None
