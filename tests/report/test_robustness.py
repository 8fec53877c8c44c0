"""What a reader sees of robustness: the table, the checklist's lines, the picture; and why there is none."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.record import Measurement, Record
from edgekit.report import markdown, plots, robustness
from edgekit.report.categories import safety
from tests.report.conftest import Maker

SOURCE, INT8 = "source", "cpu-int8"


def with_robustness(record: Record) -> Record:
    """Noise and lower resolution, to which the INT8 artifact is more sensitive."""
    rows = []
    for artifact, extra in ((SOURCE, 0.0), (INT8, 0.1)):
        values = {"robust_error/clean": 0.1, "mean_robust_error": 0.2 + extra / 2}
        for name, steepness in (("gaussian_noise", 0.05), ("resolution_shift", 0.03)):
            values |= {f"robust_error/{name}/{s}": 0.1 + (steepness + extra / 3) * s for s in range(1, 6)}
            values[f"robust_error/{name}"] = 0.1 + (steepness + extra / 3) * 3
            if artifact != SOURCE:
                values[f"robust_error_rise/{name}"] = extra + steepness / 10
        of_mean = {"images": 200, "severities": [1, 2, 3, 4, 5], "left_out": {}, "fewest_images_of_a_class": 4}
        rows += [
            Measurement(
                artifact=artifact,
                metric=metric,
                unit="share",
                samples=(value,),
                method="1 - balanced accuracy on corrupted images",
                conditions=of_mean if metric == "mean_robust_error" else {},
                interval=(value - 0.02, value + 0.03),
            )
            for metric, value in values.items()
        ]
    return record.model_copy(update={"measurements": (*record.measurements, *rows)})


def items(record: Record) -> dict[str, str]:
    return {one.name: one.value or one.reason or "" for one in safety.items(record)}


def test_the_items_of_the_checklist(make: Maker) -> None:
    found = items(with_robustness(make()))
    noise = found["Robustness to noise"]
    assert noise.startswith(
        "gaussian noise on 200 test images, severities 1, 2, 3, 4, 5: source 0.250 (0.230 to 0.280)"
    )
    assert "cpu-int8 0.350 (0.330 to 0.380)" in noise
    # An artifact that was not run under corruptions says so.
    assert "intel-cpu-int8 not measured" in noise
    assert "resolution shift" in found["Robustness to resolution shift"]
    worst = "cpu-int8: largest rise above the source's from clean to corrupted images 0.105 (0.085 to 0.135)"
    assert f"{worst} (gaussian noise)" in found["Robustness to all corruptions"]


def test_a_recipe_that_did_not_ask_is_told_so(make: Maker) -> None:
    found = items(make())
    for name in ("Robustness to noise", "Robustness to resolution shift", "Robustness to all corruptions"):
        assert found[name] == "not measured: the recipe does not ask for evaluation.robustness"
    assert "### Robustness" not in markdown.render(make(), {})


def test_the_table_has_a_row_for_each_corruption(make: Maker) -> None:
    record = with_robustness(make())
    found = robustness.table(record, [SOURCE, INT8])
    assert found is not None
    assert [name for name, _ in found.rows] == ["not corrupted", "gaussian noise", "resolution shift", "mean"]
    text = markdown.render(record, {})
    assert re.search(r"\| gaussian noise \| 0\.250 \(0\.230 to 0\.280\) \|.* 0\.350 \(0\.330 to 0\.380\) \|", text)
    assert "The smallest class has 4 of these images" in text


def test_the_picture(make: Maker, tmp_path: Path) -> None:
    title = "Error against the severity of corruptions"
    assert title not in plots.write(make(), tmp_path)
    path = plots.write(with_robustness(make()), tmp_path)[title]
    assert path.stat().st_size > 5_000
