"""INT8 files of the zoo's networks, with random weights: what can be checked without the device that runs them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgekit import runtimes, target
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.runtimes.coreml import STYLE
from edgekit.zoo import catalogue, exported

pytestmark = pytest.mark.slow
CLASSIFIERS = [one.name for one in catalogue.LISTED if one.task == "classification"]
ON_PHONES = (
    "mobileone_s0",
    "efficientnet_b0",
    "fastvit_s12",
    "mambaout_femto",
    "vit_tiny_patch16_224",
    "medmamba_t",
    "ultralight_vm_unet",
)


def _quantized(name: str) -> tuple[Model, torch.Tensor]:
    model = exported.model_of(next(one for one in catalogue.LISTED if one.name == name))
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(4, model.input_size[0], 16, 16, generator=generator)
    inputs = F.interpolate(coarse, size=model.input_size[1:], mode="bilinear")
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in inputs], lambda *_: None)
    return replace(model, quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []}), inputs


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_tensorrt_gets_a_file_that_keeps_its_rules(name: str, tmp_path: Path) -> None:
    """Export refuses a file that breaks a rule or that ONNX's checker refuses."""
    if importlib.util.find_spec("onnxscript") is None:
        pytest.skip("onnxscript is not installed")
    model, _ = _quantized(name)
    made = runtimes.get("tensorrt").export(model, target.load("jetson"), "int8", tmp_path)
    quantized, layers = made.details["layers_in_int8"].split(" of ")
    assert int(quantized) == int(layers) > 0


@pytest.mark.parametrize("name", ON_PHONES)
def test_a_core_ml_file_answers_as_the_fake_quantized_network(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("coremltools") is None:
        pytest.skip("coremltools is not installed")
    model, inputs = _quantized(name)
    runtime, aim = runtimes.get("coreml"), target.load("iphone")
    session = runtime.check(runtime.export(model, aim, "int8", tmp_path).path, aim, "int8")
    found = np.concatenate([session.run(one[None].numpy()) for one in inputs])
    network = program.in_precision(model, "int8", STYLE).module(check_guards=False)
    with torch.no_grad():
        fake = torch.cat([network(one[None]) for one in inputs]).numpy()
    # Rounding to 8 bits amplifies differences of 1e-6 in networks with random weights, which are nowhere sure.
    assert np.abs(found - fake).max() < 0.1 * np.abs(fake).max()
