"""Other forms of a record: every sample as CSV, a model card for the hub."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from edgekit.cli import app
from edgekit.errors import InputError
from edgekit.record import Record, dumps
from edgekit.report import model_card, samples, write_form
from tests.report.test_markdown import hostile

if TYPE_CHECKING:
    from tests.report.conftest import Maker


def test_every_sample_is_a_row(record: Record) -> None:
    rows = list(csv.DictReader(io.StringIO(samples.render(record))))
    told = [
        (row.artifact, row.metric, value, row.unit, row.conditions)
        for row in record.measurements
        for value in row.samples or ()
    ]
    read = [
        (row["artifact"], row["metric"], float(row["value"]), row["unit"], json.loads(row["conditions"]))
        for row in rows
    ]
    assert read == told
    latency = [row for row in rows if (row["artifact"], row["metric"]) == ("cpu-int8", "latency_s")]
    assert [(row["process"], row["index"]) for row in latency[198:202]] == [
        ("0", "198"),
        ("0", "199"),
        ("1", "0"),
        ("1", "1"),
    ]


def test_one_sample_of_each_process_is_told_apart(record: Record) -> None:
    rows = [
        row.model_copy(update={"conditions": {"processes": 3}}) if row.metric == "peak_rss_bytes" else row
        for row in record.measurements
    ]
    text = samples.render(record.model_copy(update={"measurements": tuple(rows)}))
    peak = [row for row in csv.DictReader(io.StringIO(text)) if row["metric"] == "peak_rss_bytes"]
    assert [(row["process"], row["index"]) for row in peak[:3]] == [("0", "0"), ("1", "0"), ("2", "0")]


def _front(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(text.split("\n---\n")[0])
    return found


def test_the_card_holds_what_the_hub_reads(record: Record) -> None:
    front = _front(model_card.render(record))
    assert front["library_name"] == "edgekit"
    assert front["pipeline_tag"] == "image-classification"
    assert {"onnx", "openvino", "tflite", "CT"} <= set(front["tags"])
    told = {
        metric["name"]: metric["value"]
        for result in front["model-index"][0]["results"]
        for metric in result["metrics"]
    }
    for name in ("cpu-int8", "android-fp32"):
        for metric in ("accuracy", "ece", "sensitivity/rare_lesion"):
            row = record.value(name, metric)
            assert row is not None
            assert row.samples is not None
            assert told[f"{metric} of {name}, {name.rpartition('-')[2]}"] == row.samples[-1]
    assert not any("iphone" in name for name in told)


def test_the_hubs_own_reader_takes_it(record: Record, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    path = write_form(record, tmp_path, "model-card")
    card = hub.ModelCard.load(path)
    assert card.data.pipeline_tag == "image-classification"
    found = {(one.metric_name, one.metric_value) for one in card.data.eval_results}
    row = record.value("cpu-int8", "nll")
    assert row is not None
    assert row.samples is not None
    assert ("nll of cpu-int8, int8", row.samples[-1]) in found


def test_the_card_tells_of_limits_and_rejected_files(make: Maker) -> None:
    text = model_card.render(make(warnings=("the images are few",)))
    assert "Not a medical device" in text
    assert "- the images are few" in text
    assert "No file is recommended for iphone" in text
    row = next(line for line in text.splitlines() if line.startswith("| artifacts/android-int8/model"))
    assert row.endswith("rejected: accuracy dropped by 3.1 points |")
    assert "model-index" not in _front(model_card.render(make(untrained=True)))


def test_hostile_text_stays_text(record: Record) -> None:
    text = model_card.render(hostile(record))
    _front(text)
    body = text.split("\n---\n", 1)[1]
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    kinds = {child.type for token in parsed for child in token.children or []}
    assert not kinds & {"html_inline", "image", "link_open"}


def test_a_readme_of_somebody_else_is_left_alone(record: Record, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# my project\n", encoding="utf-8")
    with pytest.raises(InputError, match="no model card of edgekit"):
        write_form(record, tmp_path, "model-card")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "# my project\n"
    other = tmp_path / "card"
    write_form(record, other, "model-card")
    assert write_form(record, other, "model-card") == other / "README.md"


def test_the_command_writes_each_form(record: Record, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(dumps(record), encoding="utf-8")
    for form, name in (("csv", "samples.csv"), ("model-card", "README.md")):
        done = CliRunner().invoke(app, ["report", str(tmp_path), "--form", form])
        assert done.exit_code == 0
        assert (tmp_path / name).exists()
    assert not (tmp_path / "checklist.md").exists()
