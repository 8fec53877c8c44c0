"""The paired differences as they are shown: with their tests, corrected, and never as proof of equality."""

from __future__ import annotations

from typing import Any

import pytest
from statsmodels.stats.multitest import multipletests

from edgekit.evaluate.paired import Pairs
from edgekit.record import Measurement, Record
from edgekit.report import changes
from edgekit.report.categories import safety
from edgekit.report.checklist import rows

SHIPPED = ("cpu-fp32", "cpu-int8", "intel-cpu-int8")


def counted(images: int, lost: int, won: int, smallest: float | None) -> dict[str, Any]:
    pairs = Pairs(images, lost, won)
    low, high = pairs.interval
    return {
        "value": -pairs.drop,
        "interval": [-high, -low],
        "how": "score",
        "images": images,
        "lost": lost,
        "won": won,
        "mcnemar_p": pairs.p,
        "smallest_drop": smallest,
    }


def with_differences(record: Record, found: dict[tuple[str, str], dict[str, Any]]) -> Record:
    changed = [
        row.model_copy(update={"conditions": {**row.conditions, "less_source": found[row.artifact, row.metric]}})
        if (row.artifact, row.metric) in found
        else row
        for row in record.measurements
    ]
    return record.model_copy(update={"measurements": tuple(changed)})


def text_of(record: Record, start: str) -> str:
    section = next(one for one in rows(record) if one.title == "Reliability and safety")
    item = next(one for one in section.items if one.name.startswith(start))
    return "\n".join(item.lines)


@pytest.fixture
def paired(record: Record) -> Record:
    found = {(name, "accuracy"): counted(200, 12, 2 * i, 0.04) for i, name in enumerate(SHIPPED)}
    found |= {(name, "sensitivity/rare_lesion"): counted(10, 1, 0, 0.65) for name in SHIPPED}
    found |= {(name, "sensitivity/adenoma"): counted(70, 15, 0, 0.1) for name in SHIPPED}
    found |= {("cpu-int8", "ece"): {"value": 0.0123, "interval": [0.001, 0.02], "how": "bootstrap"}}
    return with_differences(record, found)


def test_the_change_is_shown_with_its_interval_and_its_corrected_test(paired: Record) -> None:
    text = text_of(paired, "Change from the source")
    line = next(one for one in text.splitlines() if one.startswith("cpu-int8:"))
    low, high = (-end * 100 for end in Pairs(200, 12, 2).interval)
    assert f"accuracy -5.00 ({high:+.2f} to {low:+.2f}) points, 12 lost and 2 won of 200 images" in line
    holm = multipletests([Pairs(200, 12, 2 * i).p for i in range(3)], method="holm")[1]
    assert f"({holm[1]:.3f} after Holm's correction for 3)" in line
    assert "ECE +0.0123 (+0.0010 to +0.0200)" in line
    assert "no proof of equality" not in line


def test_what_is_not_significant_is_not_called_equal(paired: Record) -> None:
    line = next(one for one in text_of(paired, "Change").splitlines() if one.startswith("intel-cpu-int8:"))
    assert "no proof of equality: a fall of less than 4.0 points would probably not be seen in 200 images" in line


def test_the_classes_that_changed_are_named_after_the_correction(paired: Record) -> None:
    last = text_of(paired, "Change").splitlines()[-1]
    assert last.startswith("sensitivity of the classes, 6 comparisons with Holm's correction: ")
    assert "cpu-int8 adenoma -21.43 points (p below 0.001)" in last
    assert "rare_lesion" not in last


def test_the_rare_class_says_what_its_images_could_not_show(paired: Record) -> None:
    text = text_of(paired, "Sensitivity of the rarest")
    assert "a fall of less than 65.0 points would probably not be seen in 10 images" in text
    nothing = with_differences(paired, {("cpu-int8", "sensitivity/rare_lesion"): counted(5, 0, 0, None)})
    assert "5 images are too few to show any fall" in text_of(nothing, "Sensitivity of the rarest")


def test_only_files_that_ship_are_in_a_family(paired: Record) -> None:
    also = with_differences(paired, {("source-fused", "accuracy"): counted(200, 100, 0, 0.04)})
    assert {one.artifact for one in changes.family(also, "accuracy")} == set(SHIPPED)


def test_an_older_record_has_no_differences(record: Record) -> None:
    assert (
        text_of(record, "Change") == "not measured: the record holds no figures that were paired with the source's"
    )
    broken = with_differences(record, {("cpu-int8", "accuracy"): {"value": "much", "lost": 3}})
    assert changes.change(broken, "cpu-int8", "accuracy") is None


def test_temperature_before_and_after(record: Record) -> None:
    assert "evaluation.temperature_scaling" in text_of(record, "Temperature")
    fitted = [
        Measurement(
            artifact="cpu-int8", metric=metric, unit="1", samples=(value,), method="m", conditions={"images": 90}
        )
        for metric, value in (
            ("temperature", 1.5),
            ("ece_scaled", 0.011),
            ("nll_scaled", 0.4),
            ("brier_scaled", 0.2),
        )
    ]
    one = record.model_copy(update={"measurements": (*record.measurements, *fitted)})
    text = text_of(one, "Temperature")
    assert text.startswith("cpu-int8: 1.50, fitted on 90 validation images and written into its model.json")
    before = record.value("cpu-int8", "ece")
    assert before is not None
    assert before.samples is not None
    assert f"ECE {before.samples[0]:.3f} (" in text
    assert "→ 0.011" in text
    assert safety.compared(one) != ["cpu-int8"]
