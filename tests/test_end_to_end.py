"""The whole job on a tiny recipe, through the command line as a user would."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import openvino
import pytest

from tests import command_line
from tests.command_line import read_record

RECIPE = """
schema_version: 1
name: tiny
task:
  kind: classification
  description: a test
  modality: CT (synthetic)
  classes: [no lesion, solid nodule, calcified nodule, cystic lesion, ring-enhancing lesion]
data: {kind: phantom, size: 32, angles: 24, count: {train: 120, val: 40, test: 60}}
input: {size: [32, 32]}
model: {architecture: test_byobnet}
passes:
  - {kind: finetune, epochs: 3, learning_rate: 2.0e-3}
  - {kind: fold_batchnorm}
  - {kind: quantize, images: 16}
targets: [cpu, intel-cpu, iphone]
evaluation:
  bootstrap: 100
  robustness: {images: 20, severities: [3], corruptions: [gaussian_noise, gaussian_blur]}
  out_of_distribution: {generated: [noise], images: 20}
  saliency: {images: 4}
benchmark: {warmup: 2, runs: 80, processes: 2, most_processes: 4}
# Three epochs on 120 images settle nothing: these gates only keep the run going.
gates: {int8_min_agreement: 0.3, max_accuracy_drop: 0.5}
"""
#: What must be equal between two runs; latencies, times and the machine's load are not.
SAME = ("recipe_sha256", "data", "labels", "predictions", "gates")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the tiny recipe ran undisturbed, and what the command printed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    return folder, command_line.run(folder, "compress", "tiny.yaml", "--out", "run")


def test_everything_is_there(finished: tuple[Path, str]) -> None:
    folder, said = finished
    run = folder / "run"
    record = read_record(run)
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    statuses = {a["name"]: a["status"] for a in record["artifacts"]}
    assert statuses.pop("intel-cpu-bf16") == ("accepted" if has_bf16 else "exported, not run here")
    for own in ("cpu-int8-static", "intel-cpu-int8-symmetric", "intel-cpu-int8-nncf"):
        assert statuses.pop(own) in ("accepted", "rejected")
    assert statuses == {
        "source": "accepted",
        "source-fused": "accepted",
        "cpu-fp32": "accepted",
        "cpu-int8": "accepted",
        "intel-cpu-fp32": "accepted",
        "intel-cpu-int8": "accepted",
        "iphone-fp32": "checked, not run here",
        "iphone-fp16": "checked, not run here",
        "iphone-int8": "checked, not run here",
    }
    for artifact in record["artifacts"]:
        assert (run / artifact["path"]).exists()
        assert (run / artifact["path"]).parent.joinpath("model.json").exists()
        if artifact["status"] == "accepted":
            assert artifact["precision_executed"] == artifact["precision_requested"]
    for artifact in ("source", "cpu-int8", "intel-cpu-int8"):
        rows = [m for m in record["measurements"] if m["artifact"] == artifact and m["metric"] == "latency_s"]
        # Twice as many where two do not tell whether another file is faster.
        assert [len(row["samples"]) for row in rows] in ([80] * 2, [80] * 4)
    for name in ("checklist.md", "pictures/latency.png", "pictures/reliability.png", "pictures/size_latency.png"):
        assert (run / name).stat().st_size > 0
        assert name in said or name.startswith("pictures")
    checklist = (run / "checklist.md").read_text(encoding="utf-8")
    for category in ("1. Task", "2. Hardware", "3. Software", "4. Numerical", "5. Inference", "6. Latency"):
        assert category in checklist
    assert str(folder) not in (run / "record.json").read_text(encoding="utf-8")


def test_the_analyses_that_the_recipe_names(finished: tuple[Path, str]) -> None:
    run = finished[0] / "run"
    record = read_record(run)
    found = {(one["artifact"], one["metric"]): one for one in record["measurements"]}
    for artifact in ("source", "cpu-fp32", "cpu-int8", "intel-cpu-int8"):
        for metric in ("robust_error/gaussian_blur/3", "mean_robust_error", "ood_auroc/noise"):
            assert 0 <= found[artifact, metric]["samples"][0] <= 1
    # A file that computes what the source computes makes the same errors and looks at the same place.
    assert found["cpu-fp32", "robust_error_rise/gaussian_noise"]["samples"] == [0.0]
    assert found["cpu-fp32", "saliency_rank_correlation"]["samples"][0] > 0.99
    assert found["source-fused", "saliency_rank_correlation/grad_cam"]["samples"][0] > 0.99
    assert "macOS" in found["iphone-fp32", "mean_robust_error"]["not_measured_reason"]
    assert record["data"]["hygiene"]["images"] == {"train": 120, "val": 40, "test": 60}
    text = (run / "checklist.md").read_text(encoding="utf-8")
    for title in ("Robustness to corruptions", "Images out of distribution", "Saliency agreement", "Data hygiene"):
        assert f"### {title}" in text
    for picture in ("robustness.png", "saliency.png"):
        assert (run / "pictures" / picture).exists()


def test_a_second_run_reuses_every_stage(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = read_record(folder / "run")
    said = command_line.run(folder, "compress", "tiny.yaml", "--out", "run")
    after = read_record(folder / "run")
    assert all(stage["cached"] for stage in after["stages"])
    assert before["measurements"] == after["measurements"]
    assert before["artifacts"] == after["artifacts"]
    assert "reused" in said


def test_a_killed_run_goes_on_to_the_same_result(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    moments = random.Random(0)
    for _ in range(3):
        process = command_line.start(tmp_path, "compress", "tiny.yaml", "--out", "run")
        time.sleep(moments.uniform(2.0, 7.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    command_line.run(tmp_path, "compress", "tiny.yaml", "--out", "run")
    one, other = read_record(folder / "run"), read_record(tmp_path / "run")
    for key in SAME:
        assert one[key] == other[key], key
    files = [
        {a["name"]: a["sha256"] for a in record["artifacts"] if a["runtime"] in ("torch_eager", "onnxruntime")}
        for record in (one, other)
    ]
    assert files[0] == files[1]
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_bench_adds_a_session_and_report_needs_the_record_alone(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    run = folder / "run"
    before = read_record(run)
    command_line.run(folder, "bench", "--target", "cpu", "--run", "run")
    after = read_record(run)
    added = after["measurements"][len(before["measurements"]) :]
    assert {m["artifact"] for m in added} == {"source", "source-fused", "cpu-fp32", "cpu-int8", "cpu-int8-static"}
    assert len({m["conditions"]["session"] for m in added}) == 1
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "record.json").write_bytes((run / "record.json").read_bytes())
    command_line.run(tmp_path, "report", "alone")
    assert (alone / "checklist.md").read_bytes() == (run / "checklist.md").read_bytes()
    command_line.run(folder, "compress", "tiny.yaml", "--out", "run")
    assert read_record(run)["measurements"] == after["measurements"], "compressing again lost what bench had added"


def test_bench_refuses_an_altered_artifact(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    path = folder / "run" / "artifacts" / "cpu-int8" / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\0")
    process = command_line.start(folder, "bench", "--target", "cpu", "--run", "run")
    said, _ = process.communicate(timeout=100)
    path.write_bytes(content)
    assert process.returncode == 2
    assert "was altered" in said
    assert "Traceback" not in said
