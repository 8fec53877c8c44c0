"""Several records side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from typer.testing import CliRunner

from edgekit import record as records
from edgekit.cli import app
from edgekit.errors import InputError
from edgekit.record import Measurement, Record
from edgekit.report import comparison
from tests.report.conftest import CLASSES

Maker = Callable[..., Record]


def _write(folder: Path, record: Record) -> Path:
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(records.dumps(record))
    return folder


def _table(text: str, heading: str) -> list[list[str]]:
    part = text.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_one_row_for_each_network(make: Maker, tmp_path: Path) -> None:
    other = make(untrained=True)
    other = other.model_copy(
        update={"recipe": other.recipe | {"model": {"architecture": "resnet18", "untrained": True}}}
    )
    _write(tmp_path / "study" / "a", make())
    _write(tmp_path / "study" / "b", other)
    text = comparison.render(comparison.read([tmp_path / "study"]))
    networks = _table(text, "Networks")
    assert [row[0] for row in networks[1:]] == ["mobileone_s0", "resnet18"]
    assert [row[-1] for row in networks[1:]] == ["trained", "random"]
    latencies = _table(text, "Latency")
    assert latencies[0][:3] == ["network", "source", "source-fused"]
    row = dict(zip(latencies[0], latencies[1], strict=True))
    assert row["cpu-fp32"].endswith("x)")
    assert "not measured (" in row["iphone-fp32"]
    assert "Core ML" in text


def test_a_rejected_file_is_marked(make: Maker, tmp_path: Path) -> None:
    text = comparison.render(comparison.read([_write(tmp_path / "run", make())]))
    latencies = _table(text, "Latency")
    row = dict(zip(latencies[0], latencies[1], strict=True))
    mark = row["android-int8"].split()[-1]
    assert f"{mark} rejected: " in text


def test_the_same_network_twice_is_told_apart_by_its_recipe(make: Maker, tmp_path: Path) -> None:
    one, two = make(), make()
    two = two.model_copy(update={"recipe": two.recipe | {"name": "kidney"}})
    runs = comparison.read([_write(tmp_path / "one", one), _write(tmp_path / "two", two)])
    assert [run.name for run in runs] == ["mobileone_s0 (liver)", "mobileone_s0 (kidney)"]


def test_a_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record here"):
        comparison.read([tmp_path])


def _predicting(record: Record, seed: int, changed: int) -> Record:
    """The record with figures that follow from its predictions, of which some were changed."""
    labels = np.asarray(record.labels)
    rng = np.random.default_rng(seed)
    predictions = []
    figures: dict[tuple[str, str], float] = {}
    for one in record.predictions:
        predicted = np.asarray(one.predicted)
        at = rng.choice(len(labels), changed, replace=False)
        predicted[at] = (predicted[at] + 1) % 3
        predictions.append(one.model_copy(update={"predicted": tuple(int(label) for label in predicted)}))
        right = predicted == labels
        shares = [right[labels == k].mean() for k in range(3)]
        of_class = {f"sensitivity/{name}": share for name, share in zip(CLASSES, shares, strict=True)}
        scores = {"accuracy": right.mean(), "balanced_accuracy": np.mean(shares), **of_class}
        figures |= {(one.artifact, metric): float(score) for metric, score in scores.items()}
    rows = [
        row.model_copy(update={"samples": (figures[row.artifact, row.metric],)})
        if (row.artifact, row.metric) in figures and row.samples
        else row
        for row in record.measurements
    ]
    return record.model_copy(update={"predictions": tuple(predictions), "measurements": tuple(rows)})


def test_the_same_images_are_compared_in_pairs(make: Maker, tmp_path: Path) -> None:
    base, others = _predicting(make(), 0, 0), [_predicting(make(), seed, 20) for seed in (1, 2)]
    paths = [_write(tmp_path / name, one) for name, one in zip("abc", (base, *others), strict=True)]
    runs = comparison.read(paths)
    assert [run.name.rpartition("/")[2] for run in runs] == ["a)", "b)", "c)"]
    heads, *rows = _table(comparison.render(runs), "On the same test images")
    labels = np.asarray(base.labels)
    p, corrected = [], []
    for row in (dict(zip(heads, row, strict=True)) for row in rows):
        if row["p"] == "not tested":
            continue
        other = runs[1 if row["network"].endswith("b)") else 2].record
        found = [
            np.asarray(next(one.predicted for one in record.predictions if one.artifact == row["artifact"]))
            for record in (base, other)
        ]
        mine = labels >= 0 if row["figure"] == "accuracy" else labels == 2
        lost = int(((found[0] == labels) & (found[1] != labels))[mine].sum())
        won = int(((found[0] != labels) & (found[1] == labels))[mine].sum())
        assert row["lost, won"] == f"{lost}, {won}"
        p.append(scipy.stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0)
        corrected.append(float(row["p (Holm)"]))
        assert float(row["p"]) == pytest.approx(p[-1], abs=6e-4)
        assert float(row["difference"].split(" ")[0]) == pytest.approx(100 * (won - lost) / mine.sum(), abs=6e-3)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate([min(1.0, (len(p) - k) * p[at]) for k, at in enumerate(order)])
    assert np.asarray(corrected)[order] == pytest.approx(stepped, abs=6e-4)
    assert len(p) == 2 * 2 * len(base.predictions)


def test_other_images_are_not_compared(make: Maker, tmp_path: Path) -> None:
    splits = {**make().data["splits"], "test": {**make().data["splits"]["test"], "image_sha256": "f" * 64}}
    other = make().model_copy(update={"data": {**make().data, "splits": splits}})
    text = comparison.render(comparison.read([_write(tmp_path / "a", make()), _write(tmp_path / "b", other)]))
    assert "image by image: the test images are not the same" in text
    assert "| p (Holm) |" not in text


def test_masks_are_compared_case_by_case(make: Maker, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dice = [rng.uniform(0.6, 0.9, 30), rng.uniform(0.6, 0.9, 31)]
    runs = []
    for number, cases in enumerate(dice):
        conditions = {"case_ids": [str(case) for case in range(len(cases))], "per_case": cases.tolist()}
        row = Measurement(
            artifact="cpu-int8", metric="mean_dice", unit="share", samples=(float(cases.mean()),), method=""
        )
        row = row.model_copy(update={"conditions": conditions})
        task = {**make().recipe["task"], "kind": "segmentation"}
        one = make().model_copy(update={"recipe": {**make().recipe, "task": task}, "measurements": (row,)})
        runs.append(_write(tmp_path / str(number), one))
    heads, row_ = _table(comparison.render(comparison.read(runs)), "On the same test images")
    row_of = dict(zip(heads, row_, strict=True))
    moved = dice[1][:30] - dice[0]
    value, low, _, high = row_of["difference"].replace("(", "").replace(")", "").split(" ")
    assert float(value) == pytest.approx(100 * moved.mean(), abs=6e-3)
    spread = 1.96 * 100 * moved.std() / np.sqrt(30)
    assert float(high) - float(low) == pytest.approx(2 * spread, rel=0.1)
    assert row_of["p"] == "not tested"


def _elsewhere(record: Record) -> Record:
    return record.model_copy(update={"machine": {**record.machine, "cpu": "Other CPU"}})


def test_latencies_of_other_machines_are_refused_unless_told(make: Maker, tmp_path: Path) -> None:
    paths = [_write(tmp_path / "a", make()), _write(tmp_path / "b", _elsewhere(make()))]
    runs = comparison.read(paths)
    with pytest.raises(InputError, match=r"taken on different machines.*Test CPU.*Other CPU.*--across-machines"):
        comparison.render(runs)
    heads, *rows = _table(comparison.render(runs, across_machines=True), "Latency")
    assert heads[-1] == "machine"
    assert [row[-1].startswith("DIFFERENT MACHINES") for row in rows] == [True, True]
    assert [row[-1].endswith(cpu) for row, cpu in zip(rows, ("Test CPU", "Other CPU"), strict=True)] == [True, True]
    assert "machine" not in _table(comparison.render(comparison.read([paths[0], paths[0]])), "Latency")[0]


def _on_a_device(record: Record, cpu: str) -> Record:
    """The record with the latencies of the phone's file taken on another machine."""
    rows = [
        row.model_copy(update={"conditions": {**row.conditions, "machine": {"cpu": cpu}}})
        if (row.artifact, row.metric) == ("android-fp32", "latency_s")
        else row
        for row in record.measurements
    ]
    return record.model_copy(update={"measurements": tuple(rows)})


def test_files_of_one_device_are_compared_beside_those_of_another(make: Maker, tmp_path: Path) -> None:
    paths = [_write(tmp_path / name, _on_a_device(make(), "Phone")) for name in ("a", "b")]
    assert "DIFFERENT" not in comparison.render(comparison.read(paths))
    other = _write(tmp_path / "c", _on_a_device(make(), "Other phone"))
    with pytest.raises(InputError, match=r"different machines.*: Phone.*: Other phone"):
        comparison.render(comparison.read([paths[0], other]))


def test_a_run_without_latencies_is_of_any_machine(make: Maker, tmp_path: Path) -> None:
    other = _elsewhere(make())
    other = other.model_copy(
        update={"measurements": tuple(row for row in other.measurements if row.metric != "latency_s")}
    )
    runs = comparison.read([_write(tmp_path / "a", make()), _write(tmp_path / "b", other)])
    assert "DIFFERENT" not in comparison.render(runs)


def test_the_command_refuses_and_goes_on_when_told(make: Maker, tmp_path: Path) -> None:
    paths = [str(_write(tmp_path / "a", make())), str(_write(tmp_path / "b", _elsewhere(make())))]
    refused = CliRunner().invoke(app, ["compare", *paths])
    assert isinstance(refused.exception, InputError)
    done = CliRunner().invoke(app, ["compare", *paths, "--across-machines", "--out", str(tmp_path / "c.md")])
    assert done.exit_code == 0
    assert "DIFFERENT MACHINES" in (tmp_path / "c.md").read_text(encoding="utf-8")
