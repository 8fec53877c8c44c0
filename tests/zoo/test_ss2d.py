from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit import runtimes
from edgekit.model import Model
from edgekit.quantization import calibration, placement, program
from edgekit.target import Precision, RuntimeName
from edgekit.zoo.ss2d import SS2D
from tests.networks import cpu_target
from tests.zoo import golden

MODULES: dict[RuntimeName, str] = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "litert_torch",
    "coreml": "coremltools",
}


class _Classifier(nn.Module):
    """Two blocks on 10 x 8 pixels, so that their scans of 80 steps are cut into chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 2, 2)
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
        self.mixers = nn.ModuleList(SS2D(16, d_state=4) for _ in range(2))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        logits: Tensor = self.head(x.mean((1, 2)))
        return logits


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    network = _Classifier().eval()
    for mixer in network.mixers:
        nn.init.normal_(mixer.get_parameter("x_proj_weight"), std=0.3)
    return Model("module", {}, 5, (3, 20, 16), "tests:x", (), network)


@pytest.fixture(scope="module")
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(6, 3, 20, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(model: Model, images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Model:
    graph = program.float_graph(model)
    spans = calibration.ranges(graph, [torch.from_numpy(one[None]) for one in images], lambda done, text: None)
    ranges = {name: list(span) for name, span in spans.items()}
    return replace(model, quantization={"ranges": ranges, "keep_float": []})


@pytest.mark.shared_data
def test_official_output() -> None:
    held = golden.arrays("ss2d")
    with torch.no_grad():
        golden.assert_close(golden.loaded(SS2D(20), held)(held["x"]), held["y"])


def test_names_and_shapes_of_its_weights() -> None:
    shapes = {name: tuple(one.shape) for name, one in SS2D(48).state_dict().items()}
    assert shapes == {
        "x_proj_weight": (4, 35, 96),
        "dt_projs_weight": (4, 96, 3),
        "dt_projs_bias": (4, 96),
        "A_logs": (384, 16),
        "Ds": (384,),
        "in_proj.weight": (192, 48),
        "conv2d.weight": (96, 1, 3, 3),
        "conv2d.bias": (96,),
        "out_norm.weight": (96,),
        "out_norm.bias": (96,),
        "out_proj.weight": (48, 96),
    }


def test_the_directions() -> None:
    image = torch.arange(6.0).view(1, 2, 3, 1)
    for k, order in enumerate([[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]]):
        path = SS2D._path(image, k)
        assert path.flatten().tolist() == order
        torch.testing.assert_close(SS2D._image(path, k, 2, 3), image)


def test_fewer_directions_see_less_of_the_image() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 5, 6, 8)
    changed = image.clone()
    changed[0, 4, 5] += 1
    for directions, sees in ((1, False), (2, False), (4, True)):
        mixer = SS2D(8, directions=directions).eval()
        assert mixer.x_proj_weight.shape[0] == directions
        with torch.no_grad():
            seen = not torch.equal(mixer(image)[0, 0, 0], mixer(changed)[0, 0, 0])
        assert seen is sees
    with pytest.raises(ValueError, match="directions is 3; an image is read along 1, 2 or 4"):
        SS2D(8, directions=3)


def test_projections_are_quantized_and_the_recurrence_is_not(model: Model, quantized: Model) -> None:
    layers = [placement.layer_name(node) for node in placement.compute_nodes(program.float_graph(model))]
    block = ["{}.in_proj", "{}.conv2d", "{}", "{}.out_proj"]
    assert layers == ["stem", *(one.format(f"mixers.{k}") for k in range(2) for one in block), "head"]
    made = program.quantized_program(quantized, placement.PORTABLE)
    inside, rounded = [], []
    for node in made.graph.nodes:
        kinds = [kind for _, kind in node.meta.get("nn_module_stack", {}).values()]
        if any(kind.endswith("SelectiveScan") for kind in kinds) or node.name.startswith("exp"):
            inside.append(node)
        if "quantize_per_tensor" in str(node.target) and "dequantize" not in str(node.target):
            rounded.append(node)
    decays = [node for node in made.graph.nodes if placement.operator(node) == "exp"]
    assert len(decays) > 2 * 2 * 8
    assert rounded
    # A step's decay feeds the state as it is.
    for node in decays:
        assert not any("quantize" in str(user.target) for user in node.users)
    assert not any("quantize" in str(node.target) for node in inside)


def test_the_quantized_network_stays_close(
    model: Model, quantized: Model, images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    with torch.no_grad():
        wanted = model.network(torch.from_numpy(images)).numpy()
    given = program.run(program.quantized_program(quantized, placement.PORTABLE), images)
    assert 0 < np.abs(given - wanted).max() < 0.15 * np.abs(wanted).max()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "litert"])
def test_runtimes_agree(
    name: RuntimeName,
    precision: Precision,
    quantized: Model,
    images: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    tmp_path: Path,
) -> None:
    if importlib.util.find_spec(MODULES[name]) is None:
        pytest.skip(f"{MODULES[name]} is not installed")
    target = cpu_target(name, precision)
    exported = runtimes.get(name).export(quantized, target, precision, tmp_path)
    session = runtimes.get(name).load(exported.path, target, precision)
    given = np.concatenate([session.run(one[None]).copy() for one in images])
    with torch.no_grad():
        exact = quantized.network(torch.from_numpy(images)).numpy()
    scale = np.abs(exact).max()
    if precision == "fp32":
        assert np.abs(given - exact).max() <= 1e-5 * scale
    else:
        assert session.executed().precision == "int8"
        layers = session.executed().layers
        assert layers["int8"] >= 2 * 3
        # The head, whose result is float; each block's depthwise convolution, which a linear layer in float feeds,
        # and in ONNX Runtime the image's.
        allowed = {"onnxruntime": 1 + 2 + 1, "openvino": 1 + 2}
        assert layers.get("fp32", 0) <= allowed.get(name, 1)
        convolutions = [one for one in session.executed().fallbacks if "conv" in one]
        assert len(convolutions) == {"onnxruntime": 3, "openvino": 2}.get(name, 0)
        assert 0 < np.abs(given - exact).max() < 0.15 * scale


def test_core_ml_takes_it(quantized: Model, tmp_path: Path) -> None:
    if importlib.util.find_spec(MODULES["coreml"]) is None:
        pytest.skip(f"{MODULES['coreml']} is not installed")
    exported = runtimes.get("coreml").export(quantized, cpu_target("coreml", "int8"), "int8", tmp_path)
    operators = exported.details["operators"]
    assert operators["exp"] > 2 * 2 * 8
    assert operators["quantize"] < operators["exp"]
