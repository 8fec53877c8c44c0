"""Every runtime that runs here: its file computes what the model computes, in the precision that was asked for."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit import counts, runtimes
from edgekit.errors import DeviceError, MissingError, UnsupportedError
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.runtimes import support
from edgekit.target import Precision, RuntimeName
from tests.networks import cpu_target, images, small_model

MODULES: dict[RuntimeName, str] = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "litert_torch",
    "executorch": "executorch",
    "coreml": "coremltools",
    "tensorrt": "onnx",
}


def _need(runtime: RuntimeName) -> None:
    if importlib.util.find_spec(MODULES[runtime]) is None:
        pytest.skip(f"{MODULES[runtime]} is not installed")


@pytest.fixture(scope="module")
def spans() -> dict[str, tuple[float, float]]:
    graph = program.float_graph(small_model())
    return calibration.ranges(graph, [one[None] for one in images()], lambda fraction, text: None)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "litert", "executorch"])
def test_artifact_agrees_and_runs_in_its_precision(
    name: RuntimeName, precision: Precision, spans: dict[str, tuple[float, float]], tmp_path: Path
) -> None:
    _need(name)
    runtime, target, model = runtimes.get(name), cpu_target(name, precision), small_model()
    if precision == "int8":
        model = replace(model, quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []})
    exported = runtime.export(model, target, precision, tmp_path)
    assert exported.inputs[0].shape == (1, 3, 32, 32)
    assert exported.outputs[0].shape == (1, 5)
    session = runtime.load(exported.path, target, precision)
    inputs = images().numpy()
    given = np.concatenate([session.run(one[None]).copy() for one in inputs])
    with torch.no_grad():
        logits = small_model().network(torch.from_numpy(inputs)).numpy()
    difference = np.abs(given - logits).max()
    executed = session.executed()
    assert executed.precision == precision
    assert sum(executed.layers.values()) == 5
    wanted = {precision: counts.macs(model.network, (3, 32, 32))}
    if name == "onnxruntime" and precision == "int8":
        # The first layer, the depthwise one behind it and the last, which gives floats, run in float.
        in_float = 16 * 27 * 16 * 16 + 16 * 9 * 16 * 16 + 24 * 5
        wanted = {"int8": wanted["int8"] - in_float, "fp32": in_float}
    assert executed.macs == wanted
    if precision == "fp32":
        assert difference <= 1e-5 * np.abs(logits).max()
        assert executed.fallbacks == ()
    else:
        assert 0 < difference < 0.15 * logits.std()


class Narrow(nn.Module):
    """Convolutions of few channels, with an activation that is fused into them and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gated, self.head = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 6, 3), nn.Conv2d(6, 300, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu(self.stem(x))
        logits: torch.Tensor = self.head(nn.functional.silu(self.gated(x))).mean((2, 3))
        return logits


def test_channels_that_a_kernel_fills_up_with_zeros_are_no_work(tmp_path: Path) -> None:
    """Counted with them, most of a narrow network's work seemed to run in float."""
    _need("onnxruntime")
    runtime, target = runtimes.get("onnxruntime"), cpu_target("onnxruntime", "fp32")
    model = Model("module", {}, 300, (3, 16, 16), None, (), Narrow().eval())
    exported = runtime.export(model, target, "fp32", tmp_path)
    executed = runtime.load(exported.path, target, "fp32").executed()
    assert executed.macs == {"fp32": counts.macs(model.network, (3, 16, 16))}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "litert", "executorch"])
def test_a_damaged_file_is_a_device_error(name: RuntimeName, tmp_path: Path) -> None:
    _need(name)
    path = tmp_path / {"onnxruntime": "model.onnx", "openvino": "model.xml"}.get(name, "model")
    path.write_bytes(b"no model at all")
    with pytest.raises(DeviceError, match="cannot load it"):
        runtimes.get(name).load(path, cpu_target(name, "fp32"), "fp32")


def test_coreml_is_written_and_says_why_it_is_not_run(
    spans: dict[str, tuple[float, float]], tmp_path: Path
) -> None:
    _need("coreml")
    runtime, target = runtimes.get("coreml"), cpu_target("coreml", "int8")
    model = replace(
        small_model(), quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []}
    )
    exported = runtime.export(model, target, "int8", tmp_path)
    operators = exported.details["operators"]
    assert operators["conv"] == 4
    assert operators["constexpr_affine_dequantize"] == 5
    assert operators["quantize"] > 0
    reason = runtime.cannot_run(target)
    if reason is not None:
        assert "macOS" in reason
        with pytest.raises(MissingError):
            runtime.load(exported.path, target, "int8")


class Eigenvalues(torch.nn.Module):
    """What no exchange format has an operator for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.linalg.eigvals(x[:, 0, :5, :5]).real
        return found


def test_an_operator_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    _need("onnxruntime")
    model = replace(small_model(), network=Eigenvalues())
    with pytest.raises(UnsupportedError, match=r"exported to ONNX: there is no ONNX operator for aten\.linalg_eig"):
        runtimes.get("onnxruntime").export(model, cpu_target("onnxruntime", "fp32"), "fp32", tmp_path)


class Pools(torch.nn.Module):
    """Pooling whose stride is left at its default."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halves = torch.nn.functional.max_pool2d(x, 2)
        return torch.nn.functional.avg_pool2d(halves, 2)


def test_coreml_takes_poolings_without_a_stride(tmp_path: Path) -> None:
    _need("coreml")
    model = replace(small_model(), network=Pools())
    operators = (
        runtimes.get("coreml").export(model, cpu_target("coreml", "fp32"), "fp32", tmp_path).details["operators"]
    )
    assert (operators["max_pool"], operators["avg_pool"]) == (1, 1)


class Attention(torch.nn.Module):
    """As timm's: the queries, keys and values of all heads from one layer; tokens are rows of the image."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = torch.nn.Linear(96, 3 * 96), torch.nn.Linear(96, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.permute(0, 2, 1, 3).flatten(2)[:, :4]
        shape = (len(x), 4, 3, self.heads, 96 // self.heads)
        query, key, value = self.qkv(tokens).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        logits: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2)).mean(1)
        return logits


@pytest.mark.parametrize("heads", [3, 4])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "litert"])
def test_attention_of_as_many_tokens_as_heads(name: RuntimeName, heads: int, tmp_path: Path) -> None:
    """OpenVINO 2026.4 takes one axis for the other when it may choose."""
    _need(name)
    torch.manual_seed(0)
    network = Attention(heads).eval()
    exported = runtimes.get(name).export(
        replace(small_model(), network=network), cpu_target(name, "fp32"), "fp32", tmp_path
    )
    given = runtimes.get(name).load(exported.path, cpu_target(name, "fp32"), "fp32").run(images()[:1].numpy())
    with torch.no_grad():
        wanted = network(images()[:1]).numpy()
    assert np.abs(given - wanted).max() <= 1e-5 * np.abs(wanted).max()


class TokensAndImage(torch.nn.Module):
    """A sum that tokens are made of first and a convolution's output is added to later, as in LightM-UNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 8, 3, 1, 1)
        self.mix, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.conv(x)
        tokens = self.mix(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        logits: torch.Tensor = self.head((self.conv(tokens) + x).mean((2, 3)))
        return logits


class Interleaved(torch.nn.Module):
    """Channels of a wide and of a narrow range in turn, as in MedMamba, with no layer that reads them next."""

    axis, order = -1, 1

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = torch.nn.Conv2d(3, 16, 4, 4), torch.nn.Conv2d(3, 16, 4, 4)
        self.mix, self.head = torch.nn.Linear(16, 16), torch.nn.Linear(32, 5)
        torch.nn.init.normal_(self.wide.weight, std=1.0)
        torch.nn.init.normal_(self.narrow.weight, std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = self.wide(x).permute(0, 2, 3, 1), self.mix(self.narrow(x).permute(0, 2, 3, 1))
        both = torch.stack(sides[:: self.order], self.axis).flatten(-2)
        logits: torch.Tensor = self.head(torch.nn.functional.layer_norm(both, (32,)).mean((1, 2)))
        return logits


class OneAfterTheOther(Interleaved):
    """The same, first those of the narrow range."""

    axis, order = -2, -1


@pytest.mark.parametrize("network", [TokensAndImage, Interleaved, OneAfterTheOther])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "litert"])
def test_int8_tensors_between_layouts_and_in_one_tensor(
    name: RuntimeName, network: type[torch.nn.Module], tmp_path: Path
) -> None:
    """What stopped LiteRT's converter, what it gave the wrong scale, and what OpenVINO could not load."""
    _need(name)
    torch.manual_seed(0)
    model = replace(small_model(), network=network().eval())
    inputs = images()
    found = calibration.ranges(
        program.float_graph(model), [one[None] for one in inputs], lambda fraction, text: None
    )
    model = replace(model, quantization={"ranges": {k: list(v) for k, v in found.items()}, "keep_float": []})
    exported = runtimes.get(name).export(model, cpu_target(name, "int8"), "int8", tmp_path)
    session = runtimes.get(name).load(exported.path, cpu_target(name, "int8"), "int8")
    given = np.concatenate([session.run(one[None]).copy() for one in inputs.numpy()])
    with torch.no_grad():
        wanted = model.network(inputs).numpy()
    assert np.abs(given - wanted).max() <= 0.05 * np.abs(wanted).max()


def test_tensorrt_gets_symmetric_quantization(spans: dict[str, tuple[float, float]], tmp_path: Path) -> None:
    _need("tensorrt")
    import onnx
    from onnx import numpy_helper

    model = replace(
        small_model(), quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []}
    )
    exported = runtimes.get("tensorrt").export(model, cpu_target("tensorrt", "int8"), "int8", tmp_path)
    graph = onnx.load(exported.path).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    quantizers = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert quantizers
    for node in quantizers:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any(), f"{node.name} has a zero point"


class Softplus(nn.Module):
    """On [-40, 40]."""

    def __init__(self, beta: float, threshold: float) -> None:
        super().__init__()
        self.settings = beta, threshold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, 3, 32, 32]`` -> ``[N, 3072]``."""
        return functional.softplus(x, *self.settings).flatten(1)


@pytest.mark.parametrize("rewritten", [0, 4000], ids=["large", "small"])
@pytest.mark.parametrize(("beta", "threshold"), [(1.0, 20.0), (3.0, 20.0), (3.0, 2.0)])
def test_softplus_has_no_threshold_in_onnx_where_it_changes_nothing(
    beta: float, threshold: float, rewritten: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor casts, also where a graph is too large for the exporter to tidy up."""
    _need("onnxruntime")
    from edgekit.runtimes import onnxruntime

    monkeypatch.setattr(onnxruntime, "_MOST_REWRITTEN", rewritten)
    model = Model("module", {}, 3072, (3, 32, 32), "tests:softplus", (), Softplus(beta, threshold).eval())
    runtime, target = runtimes.get("onnxruntime"), cpu_target("onnxruntime", "fp32")
    exported = runtime.export(model, target, "fp32", tmp_path)
    kinds = {node.op_type for node in importlib.import_module("onnx").load(exported.path).graph.node}
    assert "CastLike" not in kinds
    assert ("Where" in kinds) == (threshold < 20)
    inputs = torch.linspace(-40, 40, 3 * 32 * 32).reshape(1, 3, 32, 32)
    found = runtime.load(exported.path, target, "fp32").run(inputs.numpy())
    np.testing.assert_allclose(found, model.network(inputs).numpy(), rtol=1e-6, atol=1e-7)


def test_an_export_notes_no_history_and_leaves_pytorch_as_it_was() -> None:
    from torch.fx import traceback

    def noted() -> set[str]:
        with support.quiet():
            made = torch.export.export(Softplus(1.0, 20.0), (torch.zeros(1, 3, 4, 4),)).run_decompositions()
        each = itertools.chain(*(node.meta.get("from_node", ()) for node in made.graph.nodes))
        return {one.name for one in each} - {"", "output"}

    assert noted()
    before = traceback.NodeSource
    with support.without_history():
        assert not noted()
    assert traceback.NodeSource is before


def test_onnx_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    _need("onnxruntime")
    exported = runtimes.get("onnxruntime").export(
        small_model(), cpu_target("onnxruntime", "fp32"), "fp32", tmp_path
    )
    content = exported.path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize(
    ("device", "precisions", "said"),
    [
        ("CUDA", ("fp32",), r"has no CUDAExecutionProvider \(it has .*\); pip install onnxruntime-gpu"),
        ("TENSORRT", ("fp32", "fp16"), r"has no TensorrtExecutionProvider"),
        ("CUDA", ("fp32", "int8"), r"ONNX Runtime on CUDA runs fp32, not int8; change the target file"),
        ("NPU", ("fp32",), r"ONNX Runtime has no device 'NPU' here, it has CPU, CUDA, TENSORRT"),
    ],
)
def test_onnxruntime_on_a_gpu_says_what_is_missing(
    device: str, precisions: tuple[Precision, ...], said: str
) -> None:
    _need("onnxruntime")
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the providers for GPUs")
    target = cpu_target("onnxruntime", *precisions).model_copy(update={"device": device})
    reason = runtimes.get("onnxruntime").cannot_run(target)
    assert reason is not None
    assert re.search(said, reason)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_cannot_be_started_is_no_reason_to_run_on_the_cpu(tmp_path: Path) -> None:
    _need("onnxruntime")
    made = runtimes.get("onnxruntime").export(small_model(), cpu_target("onnxruntime", "fp32"), "fp32", tmp_path)
    target = cpu_target("onnxruntime", "fp32").model_copy(update={"device": "CUDA"})
    if runtimes.get("onnxruntime").cannot_run(target) is None:
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="could not start CUDAExecutionProvider"):
        runtimes.get("onnxruntime").load(made.path, target, "fp32")
