from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.measure import joules
from edgekit.measure.protocol import Energy, EnergyWindow
from edgekit.record import Measurement, Record
from edgekit.report import Item, check, markdown, overview, results, rows
from edgekit.report.classes import rarest
from edgekit.report.document import content

if TYPE_CHECKING:
    from tests.report.conftest import Maker

#: What stands beside the paper's own figures of calibration.
BESIDE = ("Adaptive", "Classwise", "Brier", "Confidence", "Temperature", "Change")
#: The paper's categories and items, each by the word that our item begins with.
ITEMS = {
    "Task": ["Clinical", "Modality", "Input", "Preprocessing", "Dataset", "Class"],
    "Hardware platform": ["Device", "Memory", "Power", "Thermal", "System"],
    "Software stack": ["Runtime", "Backend", "Compiler", "Operating", "Driver"],
    "Numerical precision": ["Precision", "PTQ", "Calibration", "Granularity", "Layers"],
    "Inference protocol": [
        "Batch",
        "Warm-up",
        "Timed",
        "Synchronization",
        "Scope",
        "Preprocessing",
        "Cost",
        "Cores",
    ],
    "Latency reporting": ["p50", "p90", "p99", "Variance", "Dependence", "Throttling", "Stability", "Loading"],
    "Memory footprint": ["Model", "Peak", "Peak", "Additional"],
    "Energy and power": ["Measurement", "Idle", "Energy", "Variance"],
    "Reliability and safety": [
        "ECE",
        "NLL",
        *BESIDE,
        "Sensitivity",
        *["Robustness"] * 3,
        "Confidence",
        "Saliency",
        "Failure",
        "Changed",
        "Compression-identified",
        "Data",
    ],
}


def find(record: Record, title: str, start: str) -> Item:
    section = next(one for one in rows(record) if one.title == title)
    return next(item for item in section.items if item.name.startswith(start))


def replaced(record: Record, metric: str, **fields: Any) -> Record:
    """The record with ``fields`` in every measurement of ``metric``."""
    changed = [m.model_copy(update=fields) if m.metric == metric else m for m in record.measurements]
    return record.model_copy(update={"measurements": tuple(changed)})


def empty() -> Record:
    return Record(
        edgekit_version="0",
        git_commit=None,
        git_dirty=None,
        created_utc="",
        command="",
        recipe={},
        recipe_sha256="",
        data={},
        machine={},
    )


def test_every_item_of_the_paper_is_there(record: Record) -> None:
    assert {one.title: [item.name.split(" ")[0].rstrip(",") for item in one.items] for one in rows(record)} == ITEMS


@pytest.mark.parametrize("variant", ["trained", "untrained", "few runs", "empty"])
def test_no_item_is_blank(make: Maker, variant: str) -> None:
    one = {
        "trained": lambda: make(),
        "untrained": lambda: make(untrained=True),
        "few runs": lambda: make(runs=4),
        "empty": empty,
    }[variant]()
    items = [item for section in rows(one) for item in section.items]
    assert len(items) == sum(map(len, ITEMS.values()))
    for item in items:
        assert (item.value is None) != (item.reason is None), item
        assert all(line.strip() and "None" not in line for line in item.lines), item
    if variant == "empty":
        assert [item.name for item in items if item.value] == ["Power mode", "PTQ or QAT"]


def test_a_percentile_stands_only_where_the_samples_allow_it(record: Record, make: Maker) -> None:
    p90 = find(record, "Latency reporting", "p90")
    assert p90.each["cpu-int8"].value is not None
    p99 = find(record, "Latency reporting", "p99")
    assert "p99 needs at least 662 runs, 600 were timed" in "\n".join(p99.lines)
    few = find(make(runs=20), "Latency reporting", "p90")
    assert few.value is None
    assert "p90 needs at least 64 runs, 60 were timed" in (few.reason or "")
    many = find(make(runs=250), "Latency reporting", "p99")
    assert many.each["cpu-int8"].value is not None


def test_only_the_newest_round_of_latencies_counts(record: Record) -> None:
    slow = [
        m.model_copy(update={"samples": (9.0,) * 200, "conditions": {**m.conditions, "session": "later"}})
        for m in record.of("cpu-int8", "latency_s")
    ]
    again = record.model_copy(update={"measurements": (*record.measurements, *slow)})
    assert [len(one.pooled) for one in results.rounds(again, "cpu-int8")] == [600, 600]
    assert results.percentile(again, "cpu-int8", 0.5).short == "9000"
    assert "not timed on the same occasion" in results.speedup(again, "cpu-int8").text
    also = [m.model_copy(update={"artifact": "source"}) for m in slow]
    both = again.model_copy(update={"measurements": (*again.measurements, *also)})
    assert results.speedup(both, "cpu-int8").short == "1.00"
    # The others keep the speed-up of the occasion on which they were timed.
    assert results.speedup(both, "cpu-fp32") == results.speedup(record, "cpu-fp32")


def test_a_process_number_seen_before_begins_a_new_round(record: Record) -> None:
    twice = record.model_copy(update={"measurements": (*record.measurements, *record.of("source", "latency_s"))})
    found = results.latency(twice, "source")
    assert found is not None
    assert len(found.processes) == 3


def test_processes_that_the_source_does_not_have_are_in_p50_and_not_in_the_speed_up(record: Record) -> None:
    own = record.of("cpu-int8", "latency_s")
    more = [
        one.model_copy(
            update={
                "samples": tuple(10 * sample for sample in one.samples or ()),
                "conditions": {**one.conditions, "process": 3 + index, "alternated": "in turn with others"},
            }
        )
        for index, one in enumerate([*own, *own])
    ]
    rows_ = [one for one in record.measurements if one not in own]
    again = record.model_copy(update={"measurements": (*rows_, *own, *more)})
    found = results.latency(again, "cpu-int8")
    assert found is not None
    assert len(found.processes) == 9
    assert results.speedup(again, "cpu-int8") == results.speedup(record, "cpu-int8")
    assert results.percentile(again, "cpu-int8", 0.5) != results.percentile(record, "cpu-int8", 0.5)
    told = find(again, "Inference protocol", "Timed runs").value or ""
    assert "in each of 9 fresh processes" in told
    assert "nothing clipped; in turn with others" in told
    # A reader who divides the p50 is told why the quotient is another, and so is the check of a checklist alone.
    text = markdown.render(again, {})
    assert "in the rounds that both have (some files ran in more" in text
    assert "rounds that both have" not in markdown.render(record, {})
    assert not [one for one in check.lint(text, "checklist.md") if one.rule == "speedup"]
    unsaid = text.replace("rounds that both have", "rounds")
    assert [one for one in check.lint(unsaid, "checklist.md") if one.rule == "speedup"]


def test_the_speed_up_is_that_of_the_medians(record: Record) -> None:
    medians = {}
    for name in ("source", "cpu-int8"):
        samples = [s for m in record.of(name, "latency_s") for s in m.samples or ()]
        medians[name] = statistics.median(samples)
    expected = medians["source"] / medians["cpu-int8"]
    assert float(results.speedup(record, "cpu-int8").short) == pytest.approx(expected, rel=2e-3)


def measured_energy(record: Record, samples: tuple[float, ...], processes: tuple[int, ...]) -> Record:
    window = {
        "joules_per_inference": 0.9,
        "idle_w": 2.0,
        "busy_j": 9.0,
        "count": 100,
        "window_s": 2.0,
        "idle_s": 2.0,
    }
    conditions = {
        "source": "RAPL (powercap)",
        "scope": "1 CPU package",
        "windows": [{"process": one, **window} for one in processes],
    }
    return replaced(
        record, "energy_j", samples=samples, not_measured_reason=None, conditions=conditions, method="counter"
    )


def test_energy_that_was_measured_shows_source_scope_window_and_count(record: Record) -> None:
    title = "Energy and power"
    one = measured_energy(record, (0.9, 1.1, 1.0, 1.0), (0, 0, 0, 0))
    method = find(one, title, "Measurement").value
    assert (
        method
        == "counter; source RAPL (powercap); scope 1 CPU package; 4 windows, 8.00 s and 400 inferences in all"
    )
    assert find(one, title, "Idle").value == "yes, 2.00 W"
    # Student's interval of four windows: 3.182 * 0.0816 / 2.
    assert find(one, title, "Energy").value == "1.00 J (0.87 to 1.13), over 4 windows"
    assert find(one, title, "Variance").value == "standard deviation 0.0816 J over 4 windows"
    single = measured_energy(record, (0.9,), (0,))
    assert find(single, title, "Energy").value == "0.900 J, of one window and so without interval"
    assert "variance needs at least two" in (find(single, title, "Variance").reason or "")


def test_windows_of_one_process_count_once(record: Record) -> None:
    # Two processes that differ: six windows are no six independent figures.
    one = measured_energy(record, (1.0, 1.0, 1.0, 3.0, 3.0, 3.0), (0, 0, 0, 1, 1, 1))
    shown = find(one, "Energy and power", "Energy").value or ""
    assert shown.startswith("2.00 J (-10.71 to 14.71), over 2 processes")
    assert "not told apart from the idle power" in shown
    assert find(one, "Energy and power", "Variance").value == "standard deviation 1.41 J over 2 processes"


def test_an_estimate_is_called_one_and_is_no_measurement(record: Record) -> None:
    window = EnergyWindow(0.5, None, 5.0, 10, 1.0, None)
    source = "estimated, not measured: rated power of 15 W"
    energy = Energy(windows=(window,), source=source, scope="CPU time", estimated=True)
    rows_ = joules.measurements("cpu-int8", [energy], {})
    one = record.model_copy(update={"measurements": (*record.measurements, *rows_)})
    for item in next(part for part in rows(one) if part.title == "Energy and power").items:
        text = item.value or item.reason or ""
        assert "0.5" not in text or "estimated 0.500 J (estimated, not measured" in text
    assert "asks for an estimate" in str(find(one, "Energy and power", "Energy").lines)


def test_energy_that_was_not_measured_carries_the_meters_reason(record: Record) -> None:
    for item in next(one for one in rows(record) if one.title == "Energy and power").items:
        assert item.reason == "not measured: no RAPL counters: this is a virtual machine"


def test_robustness_says_that_this_run_did_not_look(record: Record) -> None:
    item = find(record, "Reliability and safety", "Robustness")
    assert item.reason == "not measured: the recipe does not ask for evaluation.robustness"


def test_the_rarest_class_is_shown_from_source_to_artifact_with_positives(record: Record) -> None:
    assert [one.name for one in rarest(record)] == ["rare_lesion"]
    text = find(record, "Reliability and safety", "Sensitivity").value or ""
    assert text.startswith("rare_lesion (10 positives in the test split): source 0.871 (0.771 to 0.951) → ")
    assert "cpu-int8 0.868 (0.768 to 0.948)" in text
    assert "cpu-fp32" not in text.replace("intel-cpu-fp32", "")


def test_where_no_class_is_rare_the_smallest_is_named(record: Record) -> None:
    splits = {"train": {"class_counts": {"healthy": 40, "adenoma": 30, "rare_lesion": 35}}}
    one = record.model_copy(update={"data": {**record.data, "splits": splits}})
    assert [each.name for each in rarest(one)] == ["adenoma"]


def test_the_rarest_classes_come_first(record: Record) -> None:
    table = next(one for one in content(record)["class_tables"] if one.names[0] == "sensitivity")
    assert [name for name, _ in table.rows] == ["rare_lesion", "adenoma", "healthy"]
    assert [one.name for one in content(record)["class_counts"]] == ["rare_lesion", "adenoma", "healthy"]
    # The tables that the record has no figures for say why.
    other = next(one for one in content(record)["class_tables"] if one.names[0] == "positive predictive value")
    assert other.rows == []
    assert other.notes


def test_changed_predictions_are_counted_image_by_image(record: Record) -> None:
    labels = (0, 0, 1, 2)
    source = record.predictions[0].model_copy(update={"predicted": (0, 0, 1, 1), "confidence": (0.9,) * 4})
    other = source.model_copy(update={"artifact": "cpu-int8", "predicted": (0, 1, 1, 2)})
    one = record.model_copy(update={"labels": labels, "predictions": (source, other)})
    assert find(one, "Reliability and safety", "Failure").value == (
        "cpu-int8: changed predictions against the source: 2 of 4 images (1 right to wrong, 1 wrong to right); "
        "most often healthy became adenoma (1)"
    )


def test_artifacts_with_the_same_text_share_a_line(record: Record) -> None:
    lines = find(record, "Numerical precision", "Precision").lines
    assert lines[0] == "source, source-fused, cpu-fp32, intel-cpu-fp32, android-fp32: fp32"
    assert lines[-1] == "iphone-fp32, iphone-int8: not measured: Core ML can be run on macOS only"


def test_the_calibration_set_says_how_many_and_how_drawn(record: Record) -> None:
    item = find(record, "Numerical precision", "Calibration")
    assert item.value == "128 images of the split 'train', drawn with seed 7, uniformly; ranges: least error"
    floating = record.model_copy(update={"stages": record.stages[:2]})
    reason = find(floating, "Numerical precision", "Calibration").reason
    assert reason == "does not apply: no pass of this recipe quantizes"


def test_what_the_machine_could_not_read_stays_a_reason(record: Record) -> None:
    assert (find(record, "Hardware platform", "Thermal").reason or "").startswith("not readable: no thermal zones")
    assert "not readable: this system shows no cpufreq" in (find(record, "Hardware platform", "Power").value or "")


def test_a_run_without_timed_runs_says_so(record: Record) -> None:
    kept = tuple(m for m in record.measurements if m.metric != "latency_s")
    missing = Measurement(
        artifact="source",
        metric="latency_s",
        unit="s",
        not_measured_reason="benchmark.source: false",
        method="none",
    )
    one = record.model_copy(update={"measurements": (*kept, missing)})
    assert find(one, "Inference protocol", "Timed").reason == "not measured: no artifact was timed"
    assert find(one, "Latency reporting", "p50").each["source"].why == "benchmark.source: false"


def test_protocol_tells_preprocessing_the_harness_and_what_could_not_be_set(record: Record) -> None:
    title = "Inference protocol"
    assert "did not time it" in (find(record, title, "Preprocessing").reason or "")
    assert "before the null runtime" in (find(record, title, "Cost").reason or "")
    steps = {"decode_s": [0.001, 0.003], "resize_s": [0.0005, 0.0005], "normalize_s": [0.0001, 0.0001]}
    one = Measurement(
        artifact="source",
        metric="preprocessing_s",
        unit="s",
        samples=(0.0016, 0.0036),
        method="timed",
        conditions=steps,
    )
    made = record.model_copy(update={"measurements": (*record.measurements, one)})
    assert find(made, title, "Preprocessing").value == (
        "p50 2.60 ms (decode 2.00 ms, resize 0.500 ms, normalize 0.100 ms), 2 images of the test split; timed"
    )
    cost = [
        Measurement(artifact=name, metric="harness_s", unit="s", samples=(2e-7, seconds), method="null runtime")
        for name, seconds in (("cpu-int8", 3e-7), ("cpu-fp32", 3e-5))
    ]
    made = record.model_copy(update={"measurements": (*record.measurements, *cost)})
    shown = find(made, title, "Cost").each
    assert shown["cpu-int8"].text == "0.30 µs a run (null runtime), below 20 µs"
    assert shown["cpu-fp32"].text == "30 µs a run (null runtime), NOT below 20 µs"


def test_what_could_not_be_set_is_a_warning(record: Record) -> None:
    refused = {"governor": "permission denied"}

    def bound(row: Measurement) -> Measurement:
        if row.artifact != "cpu-int8" or row.metric != "latency_s":
            return row
        return row.model_copy(update={"conditions": {**row.conditions, "cores": [0, 1], "not_set": refused}})

    made = record.model_copy(update={"measurements": tuple(map(bound, record.measurements))})
    shown = find(made, "Inference protocol", "Cores").each["cpu-int8"].text
    assert shown == "cores 0, 1; could NOT be set: governor: permission denied"
    assert "the target's 'governor' could not be set: permission denied" in overview.warnings(made)


def test_throughput_is_a_figure_of_its_own(record: Record) -> None:
    assert not any(one.name.startswith("Throughput") for part in rows(record) for one in part.items)
    conditions = {"streams": 2, "threads": 1, "window_s": 1.0}
    row = Measurement(
        artifact="cpu-int8",
        metric="throughput_per_s",
        unit="1/s",
        samples=(900.0, 1100.0, 1000.0),
        method="streams",
    )
    made = record.model_copy(
        update={"measurements": (*record.measurements, row.model_copy(update={"conditions": conditions}))}
    )
    shown = find(made, "Latency reporting", "Throughput").value
    assert shown == "1000 images a second (900 to 1100), 2 streams of batch 1 with 1 thread each"
    assert results.percentile(made, "cpu-int8", 0.5) == results.percentile(record, "cpu-int8", 0.5)
