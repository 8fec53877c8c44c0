"""Which artifacts a run makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit import candidates, target
from edgekit.lineage import Lineage
from edgekit.model import Model
from edgekit.recipe import Recipe, load
from edgekit.runtimes import native, own_int8, support
from edgekit.store import Finished
from edgekit.target import RuntimeName
from edgekit.variant import Made
from edgekit.zoo.ss2d import SS2D
from tests.networks import small_model

RECIPE = """\
schema_version: 1
name: candidates
task: {kind: classification, description: none, modality: none, classes: [a, b, c, d, e]}
data: {kind: phantom, size: 64, count: {train: 16, val: 8, test: 8}}
input: {size: [32, 32]}
model: {architecture: resnet10t, untrained: true}
passes: [{kind: quantize}]
targets: [cpu]
"""


#: Runtimes that have native operators.
_NATIVELY: tuple[RuntimeName, ...] = ("openvino", "onnxruntime")


def _made(model: Model, key: str, folder: Path) -> Made:
    made = Made(Finished(key, folder, {}, 0.0, True), None)
    vars(made)["model"] = model  # as if it had been loaded
    return made


def _line(model: Model, folder: Path) -> Lineage:
    calibrated = {"ranges": {}, "keep_float": [], "calibration": {"images": 8, "seed": 0}}
    return Lineage(
        source=_made(model, "source", folder),
        final=_made(model, "source", folder),
        quantized=_made(replace(model, quantization=calibrated), "quantized", folder),
        histories={"source": (), "final": (), "quantized": ()},
    )


def _names(model: Model, recipe: Recipe, folder: Path, runtime: RuntimeName = "onnxruntime") -> list[str]:
    aim = target.load("cpu").model_copy(update={"runtime": runtime})
    return [one.name for one in candidates.variants(_line(model, folder), {"cpu": aim}, recipe)]


def _recipe(folder: Path, more: str = "") -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE + more, encoding="utf-8")
    return load(path)[0][0]


@pytest.fixture(autouse=True)
def _tool() -> None:
    tool = own_int8.get("onnxruntime")
    assert tool is not None
    absent = support.missing(*tool.missing)
    if absent:
        pytest.skip(absent)


def test_every_precision_of_a_target_and_the_runtimes_own_tool(tmp_path: Path) -> None:
    assert _names(small_model(), _recipe(tmp_path), tmp_path) == [
        "source",
        "cpu-fp32",
        "cpu-int8",
        "cpu-int8-static",
    ]


def test_a_recipe_leaves_the_own_tool_out_or_pins_a_precision(tmp_path: Path) -> None:
    without = _recipe(tmp_path, "own_quantizers: false\n")
    assert _names(small_model(), without, tmp_path) == ["source", "cpu-fp32", "cpu-int8"]
    assert _names(small_model(), _recipe(tmp_path, "precision: int8\n"), tmp_path) == ["source", "cpu-int8"]


def test_a_selective_scan_is_not_given_to_the_own_tool(tmp_path: Path) -> None:
    scanning = replace(small_model(), network=SS2D(8))
    assert _names(scanning, _recipe(tmp_path), tmp_path) == ["source", "cpu-fp32", "cpu-int8"]


def test_native_operators_stand_beside_the_standard_ones_where_a_recipe_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native.Library, "missing", lambda _: None)
    scanning = replace(small_model(), network=SS2D(8))
    for runtime in _NATIVELY:
        plain = _names(scanning, _recipe(tmp_path, "own_quantizers: false\n"), tmp_path, runtime)
        assert {"source", "cpu-fp32", "cpu-int8"} <= set(plain)
        asked = _recipe(tmp_path, "native_operators: true\nown_quantizers: false\n")
        natively = [f"{name}-native" for name in plain if name != "source"]
        assert _names(scanning, asked, tmp_path, runtime) == plain + natively
        # No scan, or no compiler.
        assert _names(small_model(), asked, tmp_path, runtime) == plain
        with monkeypatch.context() as without:
            without.setattr(native.Library, "missing", lambda _: "no C++ compiler")
            assert _names(scanning, asked, tmp_path, runtime) == plain
            aim = {"cpu": target.load("cpu"), "intel": target.load("intel-cpu")}
            assert candidates.not_native(_line(scanning, tmp_path), aim) == "no C++ compiler"
    assert "no selective scan" in candidates.not_native(_line(small_model(), tmp_path), aim)
    # A runtime, or a device of it, that has none.
    assert _names(scanning, asked, tmp_path, "litert") == ["source", "cpu-fp32", "cpu-int8"]
    for other in (target.load("android"), target.load("cpu").model_copy(update={"device": "CUDA"})):
        assert "OpenVINO and ONNX Runtime" in candidates.not_native(_line(scanning, tmp_path), {"a": other})
