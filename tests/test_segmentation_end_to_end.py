"""Segmentation of images and of volumes, from generated data to checked files, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import command_line
from tests.command_line import read_record

RECIPE = """
schema_version: 1
name: lesions
task:
  kind: segmentation
  description: a test
  modality: CT (synthetic)
  classes: [background, lesion]
data: {kind: phantom, DATA, count: {train: 12, val: 5, test: 6}}
input: INPUT
model: {architecture: module}
passes:
  - {kind: finetune, epochs: 20, learning_rate: 1.0e-2, batch_size: 4, augment: [horizontal_flip]}
  - {kind: fold_batchnorm}
  - {kind: quantize, images: 8}
targets: [cpu, intel-cpu, iphone]
own_quantizers: false
evaluation: {bootstrap: 100, robustness: {images: 20, severities: [3], corruptions: [contrast, low_dose]}}
benchmark: {warmup: 2, runs: 12, processes: 1, most_processes: 1, source: false}
# A few epochs on twelve images settle nothing: these gates only keep the run going.
gates: {max_dice_drop: 0.9, int8_min_mask_dice: 0.0, int8_min_agreement: 0.5}
"""
KINDS = {
    "images": ("size: 32, angles: 24", "{size: [24, 24], fit: window, overlap: 0.25}"),
    "volumes": (
        "size: 32, dimensions: 3",
        "{size: [16, 24, 24], fit: window, channels: 1, normalization: per_image}",
    ),
}


@pytest.fixture(scope="module", params=list(KINDS))
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the run, and what the command printed."""
    folder = tmp_path_factory.mktemp("segmentation")
    data, spec = KINDS[request.param]
    (folder / "lesions.yaml").write_text(RECIPE.replace("DATA", data).replace("INPUT", spec), encoding="utf-8")
    command = ["compress", "lesions.yaml", "--out", "run", "--module", "tests.networks:unet"]
    return folder / "run", command_line.run(folder, *command)


def test_every_file_is_judged_by_its_masks(finished: tuple[Path, str]) -> None:
    record = read_record(finished[0])
    names = {one["name"]: one for one in record["artifacts"]}
    assert names["cpu-fp32"]["status"] == "accepted", names["cpu-fp32"]["reason"]
    assert names["intel-cpu-fp32"]["status"] == "accepted", names["intel-cpu-fp32"]["reason"]
    assert names["iphone-int8"]["status"] in ("checked, not run here", "accepted")
    for name in ("cpu-fp32", "cpu-int8", "intel-cpu-fp32", "intel-cpu-int8"):
        gates = {gate["name"] for gate in record["gates"] if gate["artifact"] == name}
        assert {"parity/agreement", "parity/masks", "dice_drop"} <= gates
        shape = names[name]["outputs"][0]["shape"]
        assert shape[:2] == [1, 2]
        assert shape[2:] == names[name]["inputs"][0]["shape"][2:]


def test_figures_are_of_cases_with_their_unit(finished: tuple[Path, str]) -> None:
    record = read_record(finished[0])
    of = {one["metric"]: one for one in record["measurements"] if one["artifact"] == "cpu-fp32"}
    assert {"mean_dice", "dice/lesion", "iou/lesion", "hd95/lesion", "ece", "nll", "latency_s"} <= set(of)
    assert len(of["mean_dice"]["conditions"]["per_case"]) == 6
    assert of["hd95/lesion"]["unit"] == "mm"
    assert record["predictions"] == []
    assert of["robust_error/contrast/3"]["conditions"]["cases"] == 6
    clean, dice = of["robust_error/clean"]["samples"][0], of["mean_dice"]["samples"][0]
    assert clean == pytest.approx(1 - dice, abs=1e-6)
    assert of["robust_error/low_dose"]["samples"][0] >= clean - 0.1


def test_the_checklist_speaks_of_segmentation(finished: tuple[Path, str]) -> None:
    run, said = finished
    text = (run / "checklist.md").read_text(encoding="utf-8")
    assert "mean Dice" in text
    assert "windows of 6 images" in text
    assert "p50 of a whole case" in text
    assert (run / "pictures" / "reliability.png").exists()
    assert "Dice" in said
    assert ": \n" not in text, "an item is blank"


def test_a_second_run_makes_nothing_anew(finished: tuple[Path, str]) -> None:
    run, _ = finished
    command = ["compress", "lesions.yaml", "--out", "run", "--module", "tests.networks:unet"]
    command_line.run(run.parent, *command)
    assert all(stage["cached"] for stage in read_record(run)["stages"])
