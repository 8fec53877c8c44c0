"""Malformed recipes, targets, checkpoints, data and runs, through the command line: message and exit code."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit import cli
from edgekit.store import Store

RECIPE = """\
schema_version: 1
name: tiny
task:
  kind: classification
  description: benign against malignant
  modality: ultrasound
  classes: [benign, malignant]
data:
  kind: npz
  path: set.npz
input:
  size: [32, 32]
model:
  architecture: resnet10t
  untrained: true
passes:
  - kind: fold_batchnorm
targets: [cpu]
"""
TARGET = """\
schema_version: 1
name: mine
description: a test
runtime: onnxruntime
device: CPU
precisions: [fp32]
"""
TRAINED = "model:\n  architecture: resnet10t\n  weights: {path: a.pth}\n"
UNTRAINED = "model:\n  architecture: resnet10t\n  untrained: true\n"
INDEX = (
    "data:\n  kind: index\n  path: images\n  columns: {file: file, label: label, split: split, group: patient}\n"
)
NPZ = "data:\n  kind: npz\n  path: set.npz\n"
Run = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)
    monkeypatch.delenv("EDGEKIT_WEIGHTS", raising=False)
    return tmp_path


@pytest.fixture
def edgekit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; gives the exit code and what stderr says, in one line each."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edgekit", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert isinstance(caught.value.code, int)
        return caught.value.code, said.err

    return run


def recipe(*changes: tuple[str, str]) -> str:
    """Write the recipe with texts replaced; gives its name."""
    text = RECIPE
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    Path("r.yaml").write_text(text, encoding="utf-8")
    return "r.yaml"


def arrays() -> dict[str, Any]:
    random = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        made[f"{split}_images"] = random.integers(0, 256, (8, 16, 16), dtype=np.uint8)
        made[f"{split}_labels"] = (np.arange(8) % 2).astype(np.uint8)
    return made


def data(**changes: Any) -> None:
    """Write ``set.npz`` with arrays replaced, or left out where none is given."""
    made = {name: value for name, value in {**arrays(), **changes}.items() if value is not None}
    np.savez_compressed("set.npz", **made)


# Recipes


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "  untrained: true",
            "  untrainde: true",
            "r.yaml:15: model.untrainde: unknown key, did you mean 'untrained'?",
        ),
        ("name: tiny", "name: tiny\nname: other", "r.yaml:3: name: duplicate key, first in line 2; keep one"),
        ("  size: [32, 32]", "  size: [32, wide]", "r.yaml:12: input.size[1]: input should be a valid integer"),
        ("  size: [32, 32]", "  size: [2, 32]", "r.yaml:11: input: 'size' must be 8 to 4096 pixels a side"),
        (
            "kind: fold_batchnorm",
            "kind: fold_batchnorn",
            "r.yaml:17: passes[0].kind: 'fold_batchnorn' is not allowed,",
        ),
        ("kind: fold_batchnorm", "kind: fold_batchnorn", "did you mean 'fold_batchnorm'?"),
        ("kind: fold_batchnorm", "images: 8", "r.yaml:17: passes[0].kind: this key is required"),
        ("kind: npz", "kind: zarr", "r.yaml:9: data.kind: 'zarr' is not allowed. Allowed: phantom, npz"),
        (
            "  - kind: fold_batchnorm",
            "  - kind: quantize\n  - kind: fold_batchnorm",
            "r.yaml:18: passes[1]: 'fold_batchnorm' cannot come after 'quantize'",
        ),
        ("  - kind: fold_batchnorm", "  - kind: fold_batchnorm\n  - kind: finetune", "fold after training"),
        (
            "kind: fold_batchnorm",
            "{kind: prune, macs: 1.5}",
            "r.yaml:17: passes[0].macs: input should be less than 1",
        ),
        ("kind: fold_batchnorm", "{kind: prune, ratio: 0}", "passes[0].ratio: input should be greater than 0"),
        ("kind: fold_batchnorm", "{kind: prune}", "give exactly one budget of 'ratio', 'macs' and 'latency'"),
        ("kind: fold_batchnorm", "{kind: factorize, macs: 0.5, energy: 0.9}", "give exactly one of 'energy'"),
        (
            "kind: fold_batchnorm",
            "{kind: prune, latency: {target: intel-cpu, factor: 0.5}}",
            "r.yaml:17: passes[0].latency.target: 'intel-cpu' is no target of the recipe (its targets: cpu)",
        ),
        (
            "  - kind: fold_batchnorm",
            "  - kind: quantize\n  - {kind: prune, macs: 0.5}",
            "passes[1]: 'prune' cannot come after 'quantize'",
        ),
        (
            "  - kind: fold_batchnorm",
            "  - {kind: factorize, macs: 0.5}\n  - kind: reparameterize",
            "passes[1]: 'reparameterize' cannot come after 'factorize'",
        ),
        (
            "  - kind: fold_batchnorm",
            "  - kind: quantize\n  - {kind: qat, weights: per_tensor}",
            "passes[1]: the 'quantize' pass before it calibrates the model, so 'weights' can have no effect here",
        ),
        ("kind: fold_batchnorm", "kind: distill", "passes[0]: 'distill' needs a 'teacher'"),
        ("schema_version: 1", "schema_version: 2", "r.yaml:1: schema_version: '2' is not allowed. Allowed: 1"),
        ("schema_version: 1\n", "", "schema_version: this key is required"),
        (
            "  untrained: true",
            "  seed: 0",
            "the model has no weights: give 'model.weights', put a 'finetune' or 'distill' pass",
        ),
        ("  path: set.npz", "  path: ${EDGEKIT_UNSET_HERE}/a.npz", "'EDGEKIT_UNSET_HERE' is not set (export"),
        ("targets: [cpu]", "targets: [intel-cpuu]", "unknown target 'intel-cpuu', did you mean 'intel-cpu'?"),
        ("targets: [cpu]", "targets: [cpu, cpu]", "r.yaml:18: targets: a target is named twice; name each once"),
        (
            "targets: [cpu]",
            "targets: [cpu]\nprecision: bf16",
            "r.yaml:19: precision: the target 'cpu' does not allow bf16; it allows fp32, int8",
        ),
        ("targets: [cpu]", "targets: [cpu]\nprecision: int8", "r.yaml:19: precision: int8 needs a 'quantize' or"),
        ("targets: [cpu]", "targets: []", "r.yaml:18: targets: list should have at least 1 item"),
        ("[benign, malignant]", "[benign, benign]", "r.yaml:7: task.classes: class names must be distinct"),
        ("name: tiny", "name: ../tiny", "r.yaml:2: name: string should match pattern"),
        ("name: tiny", "name: [tiny", "r.yaml:3: not valid YAML"),
        ("name: tiny", "name: !!python/object/apply:os.system [ls]", "r.yaml:2: name:"),
        ("name: tiny", "name: !!python/name:os.system", "r.yaml:2: name: not a value of the kind"),
        ("name: tiny", "name: 2025-13-45", "r.yaml:2: name: not a value of the kind 'timestamp'; put it in quotes"),
        (
            "  size: [32, 32]",
            "  size: [32, 32]\n  scale: .nan",
            "r.yaml:13: input.scale: input should be a finite number",
        ),
        ("name: tiny", "[a]: 4\nname: tiny", "r.yaml:2: top level: a key must be plain text"),
        ("  size: [32, 32]", "  size: 32", "r.yaml:12: input.size: input should be a list (got 32)"),
        (NPZ, "data: 3\n", "r.yaml:8: data: input should be a mapping of keys to values (got 3)"),
        ("targets: [cpu]", "targets: [[cpu]]", "r.yaml:18: targets[0]: input should be a valid string\n"),
        ("path: set.npz", f"path: {'x' * 300}", "r.yaml:10: data.path: no such file or folder: xxx"),
        (UNTRAINED, TRAINED.replace("a.pth", "x" * 300), "r.yaml:15: model.weights.path: no such file: xxx"),
        (UNTRAINED, TRAINED, "r.yaml:15: model.weights.path: no such file: a.pth"),
    ],
)
def test_malformed_recipe(edgekit: Run, before: str, after: str, expected: str) -> None:
    data()
    code, said = edgekit("compress", recipe((before, after)))
    assert code == 2
    assert expected in said
    assert not Path("runs").exists()


def test_all_errors_of_a_recipe_are_reported_together(edgekit: Run) -> None:
    code, said = edgekit(
        "compress", recipe(("modality:", "modalty:"), ("kind: npz", "kind: npy"), ("[cpu]", "[gpu]"))
    )
    assert code == 2
    for line in (
        "r.yaml:6: task.modalty:",
        "task.modality: this key",
        "r.yaml:9: data.kind:",
        "r.yaml:18: targets[0]:",
    ):
        assert line in said


def test_missing_recipe_names_the_nearest(edgekit: Run) -> None:
    recipe()
    assert edgekit("compress", "rr.yaml") == (2, "error: rr.yaml: no such file (did you mean r.yaml?)\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "r.yaml:1: the file must hold keys and values at its top level"),
        (b"- a\n- b\n", "r.yaml:1: the file must hold keys and values at its top level"),
        (b"\xff\xfe\x00a", "r.yaml: cannot be read as UTF-8 text"),
        (b"a: " + b"[" * 5000, "r.yaml: lists or keys are nested too deeply"),
    ],
)
def test_recipe_that_is_no_mapping(edgekit: Run, content: bytes, expected: str) -> None:
    Path("r.yaml").write_bytes(content)
    code, said = edgekit("compress", "r.yaml")
    assert code == 2
    assert expected in said


def test_recipe_is_a_folder(edgekit: Run) -> None:
    Path("r.yaml").mkdir()
    code, said = edgekit("compress", "r.yaml")
    assert code == 2
    assert "r.yaml: cannot be read" in said


def test_missing_data_file(edgekit: Run) -> None:
    code, said = edgekit("compress", recipe())
    assert code == 2
    assert "r.yaml:10: data.path: no such file or folder: set.npz" in said
    assert "EDGEKIT_DATA" in said


def test_data_set_that_would_have_to_be_downloaded(edgekit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("medmnist")
    monkeypatch.setenv("EDGEKIT_DATA", str(Path.cwd()))
    named = "data:\n  kind: medmnist\n  name: breastmnist\n"
    code, said = edgekit("compress", recipe((NPZ, named)))
    assert code == 4
    assert "breastmnist" in said
    assert "download" in said


def test_quantize_without_a_target_that_allows_int8(edgekit: Run) -> None:
    data()
    Path("mine.yaml").write_text(TARGET, encoding="utf-8")
    code, said = edgekit("compress", recipe(("[cpu]", "[mine.yaml]"), ("fold_batchnorm", "quantize")))
    assert code == 2
    assert "targets: the recipe has a 'quantize' pass and no target that allows int8 (add int8" in said


def test_target_whose_runtime_is_not_installed(edgekit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit import runtimes

    data()
    monkeypatch.setattr(type(runtimes.get("onnxruntime")), "cannot_export", lambda self, target: "pip install it")
    assert edgekit("compress", recipe()) == (4, "error: target 'cpu': cannot export for it: pip install it\n")


# Targets


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "runtime: onnxruntime",
            "runtime: onnxruntim",
            "targets/mine.yaml:4: runtime: 'onnxruntim' is not allowed, did",
        ),
        (
            "precisions: [fp32]",
            "precisions: [fp32, int4]",
            "targets/mine.yaml:6: precisions[1]: 'int4' is not allowed",
        ),
        ("device: CPU", "devise: CPU", "targets/mine.yaml:5: devise: unknown key, did you mean 'device'?"),
        (
            "name: mine",
            "name: other",
            "targets/mine.yaml:2: name: the name 'other' differs from the file's name 'mine'",
        ),
        ("schema_version: 1", "schema_version: 7", "targets/mine.yaml:1: schema_version: '7' is not allowed"),
        (
            "device: CPU",
            "device: CPU\nthreads: -1",
            "targets/mine.yaml:6: threads: input should be greater than or",
        ),
    ],
)
def test_malformed_target(edgekit: Run, before: str, after: str, expected: str) -> None:
    data()
    Path("targets").mkdir()
    Path("targets/mine.yaml").write_text(TARGET.replace(before, after), encoding="utf-8")
    code, said = edgekit("compress", recipe(("[cpu]", "[mine]")))
    assert code == 2
    assert expected in said


# Data


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"val_labels": None, "test_images": None},
            "the arrays val_labels, test_images are missing; the file holds",
        ),
        (
            {"train_images": np.zeros((8, 16, 16), np.float32)},
            "train_images is float32, not uint8 (convert it to 8 bits)",
        ),
        (
            {"val_images": np.zeros((0, 16, 16), np.uint8), "val_labels": np.zeros(0, np.uint8)},
            "val_images is empty",
        ),
        (
            {"test_labels": np.full(8, 2, np.uint8)},
            "test_labels[0] is 2, but the recipe names 2 classes (labels 0 to 1)",
        ),
        ({"test_labels": np.full(8, -1)}, "test_labels[0] is -1"),
        ({"test_labels": np.zeros(8, np.float64)}, "test_labels is float64, not integers"),
        ({"train_labels": np.zeros(7, np.uint8)}, "train_labels has 7 rows for 8 images"),
        (
            {"train_images": np.array([{}] * 8, dtype=object)},
            "holds pickled Python objects, which are never loaded",
        ),
        (
            {"classes": np.array(["malignant", "benign"])},
            "the file's classes are [malignant, benign], the recipe's",
        ),
        (
            {f"{name}_groups": np.arange(8) for name in ("train", "val", "test")},
            "the group '0' and 7 more is in 'train'",
        ),
    ],
)
def test_malformed_npz(edgekit: Run, changes: dict[str, Any], expected: str) -> None:
    data(**changes)
    code, said = edgekit("compress", recipe())
    assert code == 2
    assert "set.npz: " in said
    assert expected in said


@pytest.mark.parametrize(("size", "expected"), [(None, "not an npz file"), (400, "a truncated npz")])
def test_npz_that_is_none(edgekit: Run, size: int | None, expected: str) -> None:
    data()
    whole = Path("set.npz").read_bytes()
    Path("set.npz").write_bytes(b"a picture, honestly" if size is None else whole[:size])
    code, said = edgekit("compress", recipe())
    assert code == 2
    assert f"set.npz: {expected}" in said


def pictures(names: list[str]) -> None:
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), number, np.uint8)).save(name)


def test_unreadable_image_in_a_folder(edgekit: Run) -> None:
    for split in ("train", "val", "test"):
        pictures([f"images/{split}/{name}/{i}.png" for name in ("benign", "malignant") for i in range(4)])
    Path("images/val/benign/2.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    code, said = edgekit("compress", recipe((NPZ, "data:\n  kind: folder\n  path: images\n")))
    assert code == 2
    assert "images/val/benign/2.png: not a readable image" in said


def test_folder_of_an_unknown_class(edgekit: Run) -> None:
    pictures(["images/benign/1.png", "images/malignannt/1.png"])
    code, said = edgekit("compress", recipe((NPZ, "data:\n  kind: folder\n  path: images\n")))
    assert code == 2
    assert "images: the folder 'malignannt' is no class of the recipe, did you mean 'malignant'?" in said


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("../secret.png,benign,val,p9", "images/index.csv:8: images: '../secret.png' leaves the folder images"),
        ("/etc/hostname,benign,val,p9", "'/etc/hostname' leaves the folder images"),
        ("6.png,benign,val,p0", "images/index.csv: the group 'p0' is in 'train' and in 'val'"),
        ("6.png,benin,val,p9", "images/index.csv:8: unknown label 'benin', did you mean 'benign'?"),
        ("6.png,benign,vall,p9", "images/index.csv:8: unknown split 'vall'"),
        ("77.png,benign,val,p9", "images/index.csv:8: no such file: '77.png'"),
        (f"{'x' * 300}.png,benign,val,p9", "images/index.csv:8: no such file: 'xxx"),
        ("6\0.png,benign,val,p9", "images/index.csv:8: images: a file's name cannot hold a zero byte"),
        ("6.png,benign", "images/index.csv:8: 2 cells for 4 columns"),
    ],
)
def test_malformed_index(edgekit: Run, row: str, expected: str) -> None:
    pictures([f"images/{number}.png" for number in range(7)] + ["secret.png"])
    splits = ["train", "train", "val", "val", "test", "test"]
    rows = [f"{i}.png,{('benign', 'malignant')[i % 2]},{split},p{i}" for i, split in enumerate(splits)]
    Path("images/index.csv").write_text("\n".join(["file,label,split,patient", *rows, row, ""]), encoding="utf-8")
    code, said = edgekit("compress", recipe((NPZ, INDEX)))
    assert code == 2
    assert expected in said


def test_zip_with_a_member_outside_of_itself(edgekit: Run) -> None:
    with zipfile.ZipFile("images.zip", "w") as archive:
        archive.writestr("../../evil.png", b"")
    code, said = edgekit("compress", recipe((NPZ, "data:\n  kind: folder\n  path: images.zip\n")))
    assert code == 2
    assert "images.zip: the member '../../evil.png' would lie outside of the zip" in said


# Models and checkpoints


class _Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


def checkpoint(what: str) -> None:
    """Write ``a.pth``, wrong in the way that ``what`` says."""
    if what == "text":
        Path("a.pth").write_text("these are not the weights", encoding="utf-8")
        return
    if what == "empty":
        Path("a.pth").touch()
        return
    if what == "pickle":
        Path("a.pth").write_bytes(pickle.dumps({"state_dict": _Evil()}, protocol=2))
        return
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    classes = 3 if what == "classes" else 2
    tensors = timm.create_model("resnet10t", num_classes=classes).state_dict()
    if what == "code":
        tensors["evil"] = _Evil()
    if what == "nan":
        tensors["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    if what == "names":
        tensors = {f"other.{name}": tensor for name, tensor in list(tensors.items())[4:]}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    whole = buffer.getvalue()
    Path("a.pth").write_bytes(whole[: len(whole) // 2] if what == "truncated" else whole)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("text", "is not a checkpoint (neither safetensors nor written by torch.save)"),
        ("empty", "the file is empty"),
        ("pickle", "could run code"),
        ("code", "could run code"),
        ("truncated", "the file is truncated"),
        ("nan", "the tensor 'layer1.0.conv1.weight' holds numbers that are not finite"),
        ("names", "missing in the checkpoint"),
        ("classes", "the checkpoint has 3 classes, the recipe 2"),
    ],
)
def test_malformed_checkpoint(edgekit: Run, what: str, expected: str) -> None:
    data()
    checkpoint(what)
    code, said = edgekit("compress", recipe((UNTRAINED, TRAINED)))
    assert code == 2
    assert "a.pth: " in said
    assert expected in said
    assert not Path("executed").exists()


def test_teacher_of_other_classes(edgekit: Run) -> None:
    data()
    checkpoint("classes")
    teacher = f"teacher:\n  {TRAINED.replace(chr(10), chr(10) + '  ').rstrip()}\n"
    student = (UNTRAINED, f"{teacher}model: {{architecture: resnet10t}}\n")
    code, said = edgekit("compress", recipe(student, ("kind: fold_batchnorm", "kind: distill")))
    assert code == 2
    assert "a.pth: " in said
    assert "the checkpoint has 3 classes, the recipe 2" in said


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ("{kind: prune, macs: 0.5, exclude: [layer9]}", "passes[0]: prune.exclude: .*'layer9'.*layer4"),
        (
            "{kind: prune, macs: 0.001}",
            "passes[0]: prune.macs: 0.001 of the multiply-adds cannot be reached.*keeps 0.",
        ),
        ("{kind: factorize, macs: 0.5, exclude: [layer9]}", "passes[0]: factorize.exclude: .*'layer9'.*layer4"),
        (
            "{kind: factorize, macs: 0.001}",
            "passes[0]: factorize.macs: 0.001 of the MACs cannot be reached.*are left",
        ),
    ],
)
def test_pass_that_cannot_do_what_is_asked(edgekit: Run, one: str, expected: str) -> None:
    data()
    code, said = edgekit("compress", recipe(("kind: fold_batchnorm", one)))
    assert code == 2
    assert re.search(expected.replace("[0]", r"\[0\]"), said), said
    # What was finished before the error stays for the next run.
    assert {path.name.split("-")[0] for path in Path("runs/tiny/stages").iterdir()} == {"data", "hygiene", "model"}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("architecture: mobileone_s00", "model.architecture: unknown architecture 'mobileone_s00', did you mean"),
        ("architecture: resnet10t\n  arguments: {wings: 2}", "wings"),
        ("architecture: module", "model.architecture: the architecture 'module' needs the callable that builds it"),
    ],
)
def test_model_that_cannot_be_built(edgekit: Run, after: str, expected: str) -> None:
    pytest.importorskip("timm")
    data()
    code, said = edgekit("compress", recipe(("architecture: resnet10t", after)))
    assert code == 2
    assert expected in said


# Output folders and finished runs


def test_output_folder_of_another_recipe(edgekit: Run) -> None:
    data()
    Store(Path("out"), "other").close()
    code, said = edgekit("compress", recipe(), "--out", "out")
    assert code == 2
    assert "out: this folder holds the run of recipe 'other', not of 'tiny' (choose another --out" in said


def test_output_folder_with_foreign_files(edgekit: Run) -> None:
    data()
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("mine", encoding="utf-8")
    code, said = edgekit("compress", recipe(), "--out", "out")
    assert code == 2
    assert "out: this folder is not empty and was not written by edgekit" in said
    assert [path.name for path in Path("out").iterdir()] == ["thesis.txt"]


def test_output_path_is_a_file(edgekit: Run) -> None:
    data()
    assert edgekit("compress", recipe(), "--out", "set.npz")[0] == 2
    assert "set.npz: is a file, not a folder" in edgekit("compress", recipe(), "--out", "set.npz")[1]


@pytest.mark.parametrize("out", ["set.npz/below", "x" * 300])
def test_output_folder_that_cannot_be_made(edgekit: Run, out: str) -> None:
    data()
    code, said = edgekit("compress", recipe(), "--out", out)
    assert code == 5
    assert f"{out}: cannot be written: " in said


def test_second_process_in_the_same_folder(edgekit: Run) -> None:
    data()
    first = Store(Path("out"), "tiny")
    try:
        code, said = edgekit("compress", recipe(), "--out", "out")
    finally:
        first.close()
    assert code == 2
    assert "out: another edgekit process is working in this folder (wait for it to end)" in said


def test_full_disk(edgekit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edgekit.pipeline.prepare", full)
    code, said = edgekit("compress", recipe(), "--out", "out")
    assert code == 5
    assert "the disk is full; finished stages are kept (free some space and run it again)" in said
    assert list(Path("out/stages").iterdir()) == []


def test_full_disk_at_the_first_write(edgekit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = recipe()
    monkeypatch.setattr(Path, "write_text", full)
    code, said = edgekit("compress", name, "--out", "out")
    assert code == 5
    assert "out/.edgekit.json: the disk is full" in said


def record(**changes: Any) -> Path:
    """A record of a run that has the target ``cpu``."""
    made: dict[str, Any] = {
        "schema_version": 1,
        "edgekit_version": "0.1.0",
        "git_commit": None,
        "git_dirty": None,
        "created_utc": "2026-01-02T03:04:05Z",
        "command": "edgekit compress r.yaml",
        "recipe": {"name": "tiny", "benchmark": {}},
        "recipe_sha256": "0" * 64,
        "data": {},
        "machine": {},
        "targets": {"cpu": {"schema_version": 1, "name": "cpu", "description": "a test", "runtime": "onnxruntime",
                            "device": "CPU", "precisions": ["fp32"]}},
    }  # fmt: skip
    Path("run").mkdir(exist_ok=True)
    path = Path("run/record.json")
    path.write_text(json.dumps({**made, **changes}), encoding="utf-8")
    return path


ARTIFACT = {
    "name": "cpu-fp32", "target": "cpu", "runtime": "onnxruntime", "precision_requested": "fp32",
    "precision_executed": "fp32", "path": "artifacts/cpu-fp32/model.onnx", "sha256": "0" * 64, "size_bytes": 3,
    "status": "accepted",
}  # fmt: skip


@pytest.mark.parametrize("command", [["report", "run"], ["bench", "--target", "cpu", "--run", "run"]])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"machine": 3}, "run/record.json: machine: "),
        ({"surprise": 1}, "run/record.json: surprise: "),
        ({"schema_version": 9}, "run/record.json: schema_version is 9, this edgekit reads 1"),
        ({"artifacts": [{**ARTIFACT, "status": "fine"}]}, "run/record.json: artifacts.0.status: "),
    ],
)
def test_altered_record(edgekit: Run, command: list[str], changes: dict[str, Any], expected: str) -> None:
    record(**changes)
    code, said = edgekit(*command)
    assert code == 2
    assert expected in said


@pytest.mark.parametrize("command", [["report", "nowhere"], ["bench", "--target", "cpu", "--run", "nowhere"]])
def test_missing_record(edgekit: Run, command: list[str]) -> None:
    assert edgekit(*command) == (2, "error: nowhere: no such record (run 'edgekit compress' first)\n")


def test_record_cut_off(edgekit: Run) -> None:
    path = record()
    path.write_bytes(path.read_bytes()[:100])
    code, said = edgekit("report", "run")
    assert code == 2
    assert "run/record.json: is not a readable JSON document" in said


def test_bench_without_any_run(edgekit: Run) -> None:
    assert edgekit("bench", "--target", "cpu") == (
        2, "error: runs: no run here (run 'edgekit compress' first, or give --run DIR)\n",
    )  # fmt: skip


def test_bench_of_a_target_that_the_run_lacks(edgekit: Run) -> None:
    record()
    code, said = edgekit("bench", "--target", "iphone", "--run", "run")
    assert (code, said) == (2, "error: this run has no target 'iphone' (it has: cpu)\n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("artifacts/cpu-fp32/model.onnx", "the artifact 'cpu-fp32' was altered: its sha256 is"),
        ("artifacts/gone/model.onnx", "the artifact is gone"),
        ("../set.npz", "record.json: cpu-fp32: '../set.npz' leaves the folder run"),
    ],
)
def test_bench_of_an_artifact_that_is_not_the_record_s(edgekit: Run, path: str, expected: str) -> None:
    pytest.importorskip("onnxruntime")
    data()
    kept = Store(Path("run"), "tiny")

    def inputs(folder: Path) -> dict[str, Any]:
        np.save(folder / "inputs.npy", np.zeros((1, 3, 32, 32), np.float32))
        return {}

    kept.run("inputs", "0" * 64, inputs)
    kept.close()
    Path("run/artifacts/cpu-fp32").mkdir(parents=True)
    Path("run/artifacts/cpu-fp32/model.onnx").write_bytes(b"abc")
    record(artifacts=[{**ARTIFACT, "path": path}])
    code, said = edgekit("bench", "--target", "cpu", "--run", "run")
    assert code == 2
    assert expected in said


# Use of the command line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["compres", "r.yaml"], "No such command 'compres'"),
        (["compress"], "Missing argument"),
        (["schema", "recipes"], "'recipes' is not one of 'recipe', 'target'"),
        (["compress", "r.yaml", "--outt", "x"], "No such option: --outt"),
        (["models", "no such network"], "no architecture's name holds 'no such network'"),
    ],
)
def test_wrong_use(edgekit: Run, arguments: list[str], expected: str) -> None:
    code, said = edgekit(*arguments)
    assert code == 2
    assert expected in said
