"""What travels with an artifact works by itself: the example classifies an image as edgekit does."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from edgekit import card, outputs, recipe, runtimes, target
from edgekit.data import preprocess
from edgekit.recipe import Recipe
from edgekit.record import Artifact
from edgekit.store import Finished
from edgekit.variant import Made, Variant
from tests.networks import small_model

TARGETS = {"onnxruntime": "cpu", "openvino": "intel-cpu", "litert": "android", "executorch": "phone-executorch"}
MASKS = "{kind: masks, path: d, images: 'i/{id}.png', masks: 'm/{id}.png', draw: {train: 0.6, val: 0.2, test: 0.2}}"


def _recipe(folder: Path, kind: str = "classification", settings: str = "") -> Recipe:
    data = "{kind: phantom, size: 64, count: {train: 5, val: 5, test: 5}}"
    if kind == "segmentation":
        (folder / "d").mkdir()
        data = MASKS
    text = f"""
schema_version: 1
name: carried
task: {{kind: {kind}, description: d, modality: m, classes: [a, b, c, d, e]}}
data: {data}
input: {{size: [32, 32]{settings}}}
model: {{architecture: test_byobnet}}
passes: [{{kind: finetune, epochs: 1}}]
targets: [cpu]
"""
    path = folder / "recipe.yaml"
    path.write_text(text.replace("path: d", f"path: {folder / 'd'}"), encoding="utf-8")
    return recipe.load(path)[0][0]


def _carried(folder: Path, runtime: str, made_by: Recipe) -> Path:
    aim, model = target.load({**TARGETS, "coreml": "iphone"}[runtime]), small_model()
    home = folder / runtime
    home.mkdir()
    exported = runtimes.get(runtime).export(model, aim, "fp32", home)
    stage = Finished("0" * 16, folder, {}, 0.0, cached=False)
    card.write(home, Variant(f"{aim.name}-fp32", Made(stage, None), aim, "fp32", ()), exported, made_by)
    return home


@pytest.mark.parametrize("settings", ["", ", normalization: per_image, resize: bicubic"])
@pytest.mark.parametrize("runtime", TARGETS)
def test_the_example_classifies_as_edgekit_does(runtime: str, settings: str, tmp_path: Path) -> None:
    if importlib.util.find_spec({"litert": "litert_torch"}.get(runtime, runtime)) is None:
        pytest.skip(f"{runtime} is not installed")
    made_by = _recipe(tmp_path, settings=settings)
    home = _carried(tmp_path, runtime, made_by)
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    shares = _shares(home, tmp_path / "image.png")
    batch = preprocess.normalize(preprocess.apply(pixels, made_by.input)[None], made_by.input)
    carried = json.loads((home / "model.json").read_text(encoding="utf-8"))
    aim = target.load(TARGETS[runtime])
    wanted = softmax(runtimes.get(runtime).load(home / carried["file"], aim, "fp32").run(batch)[0])
    assert shares == pytest.approx(dict(zip("abcde", wanted.tolist(), strict=True)), abs=1e-4)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def _shares(home: Path, image: Path) -> dict[str, float]:
    """What the example prints, by class."""
    command = [sys.executable, str(home / "example.py"), str(image)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=image.parent).stdout
    return {line.split()[1]: float(line.split()[0]) for line in said.splitlines()}


def test_a_fitted_temperature_travels_with_the_artifact(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    home = _carried(tmp_path, "onnxruntime", _recipe(tmp_path))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(
        tmp_path / "i.png"
    )
    artifact = Artifact(
        name="cpu-fp32",
        target="cpu",
        runtime="onnxruntime",
        precision_requested="fp32",
        precision_executed="fp32",
        path="model.onnx",
        sha256=outputs.files_sha256(home),
        size_bytes=1,
        status="accepted",
        details={"temperature": {"value": 0.25, "images": 5, "problem": None}},
    )
    end = tmp_path / "artifacts" / "cpu-fp32"
    outputs.place(artifact, home, tmp_path)
    plain, scaled = _shares(home, tmp_path / "i.png"), _shares(end, tmp_path / "i.png")
    wanted = softmax(4 * np.log([plain[one] for one in "abcde"]))
    assert [scaled[one] for one in "abcde"] == pytest.approx(wanted, abs=2e-3)
    assert outputs.files_sha256(end) == artifact.sha256
    # Without the option the next run takes it out again.
    outputs.place(artifact.model_copy(update={"details": {}}), home, tmp_path)
    assert "temperature" not in json.loads((end / "model.json").read_text(encoding="utf-8"))


def test_the_card_says_how_the_file_is_used_and_its_hashes(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    home = _carried(tmp_path, "openvino", _recipe(tmp_path))
    carried = json.loads((home / "model.json").read_text(encoding="utf-8"))
    assert carried["classes"] == ["a", "b", "c", "d", "e"]
    assert carried["inputs"][0]["shape"] == [1, 3, 32, 32]
    assert carried["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    files = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in home.glob("model.[xb]*")}
    assert len(files) == 2
    assert carried["sha256"] == files


def test_core_ml_has_an_example_that_is_python(tmp_path: Path) -> None:
    pytest.importorskip("coremltools")
    text = (_carried(tmp_path, "coreml", _recipe(tmp_path)) / "example.py").read_text(encoding="utf-8")
    compile(text, "example.py", "exec")
    assert "model.predict" in text


def test_windows_have_no_example(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    made_by = _recipe(tmp_path, "segmentation", ", fit: window")
    assert not (_carried(tmp_path, "openvino", made_by) / "example.py").exists()
