"""OpenVINO on Intel CPUs."""

from __future__ import annotations

import ctypes
import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.environment import no_telemetry
from edgekit.errors import DeviceError, UnsupportedError
from edgekit.quantization.placement import Style
from edgekit.runtimes import native, support
from edgekit.runtimes.base import Executed, Exported, Runtime, Session

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from edgekit.model import Model
    from edgekit.quantization.scheme import Activations
    from edgekit.runtimes.base import Setting
    from edgekit.target import Axis, Precision, Target

#: OpenVINO computes any activation inside the convolution before it, so nothing is quantized in between; it takes a
#: float output from an INT8 layer, and folds the weights itself. A depthwise convolution of floats is as fast in
#: BF16 or float as in INT8 behind the rounding that it needs; with a kernel of more than 3 x 3 it is faster there
#: than in INT8 in any case. Tokens of four axes, convolutions with several kernels a channel, permutations in a row
#: and heads cut from images have other forms that it computes faster.
STYLE = Style(
    "openvino",
    fold_weights=False,
    every_output=False,
    linear_output=False,
    lone_depthwise=False,
    worthwhile_taps=9,
    plain_depthwise=True,
    rows=True,
    short_moves=True,
    channels_last=True,
    joined_stacks=True,
    norms_over=1024,
)
_KEY = "INFERENCE_PRECISION_HINT"
_HINT = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
_NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
_LAYERS = ("Convolution", "FullyConnected", "MatMul", "GroupConvolution", "Deconvolution")
_PRODUCTS = ("FullyConnected", "MatMul")


class OpenVINO(Runtime):
    """OpenVINO IR (``.xml`` and ``.bin``), latency mode."""

    name = "openvino"
    packages: tuple[str, ...] = ("openvino",)
    #: A zero point other than 0 must be corrected for; linear layers take up to twice as long with it.
    fast_activations: Activations | None = "symmetric_or_unsigned"
    dynamic: tuple[Axis, ...] = ("batch", "size")
    set_at_load: tuple[Precision, ...] = ("bf16", "fp16")

    def cannot_export(self, target: Target) -> str | None:
        """See ``Runtime``."""
        return support.missing({"torch": "torch", "openvino": "openvino"}, "openvino")

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        absent = support.missing({"openvino": "openvino"}, "openvino")
        if absent or target.device == "CPU":
            return absent
        no_telemetry()
        import openvino

        found = openvino.Core().available_devices
        if target.device in found:
            return None
        return f"OpenVINO finds no device '{target.device}' here (it finds {', '.join(found)}); install its driver"

    def lacks(self, target: Target, precision: Precision) -> str | None:
        """See ``Runtime``. Where the processor has no BF16, OpenVINO would run float32 and not say so."""
        if precision != "bf16":
            return None
        import openvino

        known = openvino.Core().get_property(target.device, "OPTIMIZATION_CAPABILITIES")
        return None if "BF16" in known else f"OpenVINO's device '{target.device}' computes no BF16 on this machine"

    def rest_in_bf16(self, target: Target) -> dict[str, str]:
        """See ``Runtime``."""
        if "bf16" not in target.precisions or _KEY in target.options or self.lacks(target, "bf16"):
            return {}
        return {_KEY: _HINT["bf16"]}

    def native_library(self, target: Setting) -> native.Library | None:
        """See ``Runtime``."""
        return native.OPENVINO if target.device == "CPU" else None

    @support.without_history()
    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model.xml`` and ``model.bin``; weights stay in float32 or INT8."""
        no_telemetry()
        import openvino

        from edgekit.quantization import program
        from edgekit.runtimes import open_axes

        made = program.in_precision(model, precision, STYLE)
        with support.quiet():
            try:
                converted = openvino.convert_model(
                    _as_taken(made), extension=[native_scan()] if model.native else None
                )
            except Exception as error:  # the converter's own assertions as well
                raise UnsupportedError(f"OpenVINO cannot take the network: {_cause(error)}") from error
        converted.inputs[0].get_tensor().set_names({support.INPUT})
        converted.outputs[0].get_tensor().set_names({support.OUTPUT})
        batch = -1 if "batch" in model.dynamic else 1
        sizes = open_axes.sizes(made, model.input_size[1:]) if "size" in model.dynamic else None
        sides = [side if sizes is None else (sizes.least, sizes.most) for side in model.input_size[1:]]
        converted.reshape({0: [batch, model.input_size[0], *sides]})
        path = folder / "model.xml"
        openvino.save_model(converted, path, compress_to_fp16=False)
        inputs, outputs = support.specs(model)
        details: dict[str, Any] = {
            "format": "OpenVINO IR",
            "exporter": "openvino.convert_model",
            "files": ["model.xml", "model.bin"],
        }
        if sizes is not None:
            details["sizes"] = sizes._asdict()
        if model.native:
            details["files"] += native.OPENVINO.write_sources(folder)
            details["native operator"] = native.OPENVINO.command()
        return Exported(path, inputs, outputs, details)

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Compile for latency in the precision asked for."""
        threads = support.threads(target.threads)
        mode = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        compiled = functools.partial(_compile, path, target, precision, mode)
        return _Session(compiled(), precision, compiled)

    def streams(self, path: Path, target: Setting, precision: Precision, count: int) -> list[Session]:
        """Compile once, for as many streams; each session is a request of its own."""
        threads = support.threads(target.threads) * count
        mode = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": count}
        compiled = functools.partial(_compile, path, target, precision, mode)
        shared = compiled()
        return [_Session(shared, precision, compiled) for _ in range(count)]


def native_scan() -> Any:
    """How the converter takes a selective scan for the native operator."""
    from openvino.frontend.pytorch import ConversionExtension
    from openvino.utils.node_factory import NodeFactory

    nodes = NodeFactory()
    nodes.add_extension(str(extension()))

    def convert(context: Any) -> Any:
        tensors = [context.get_input(place) for place in range(6)]
        backwards, raw_steps = (context.get_values_from_const_input(place) for place in (6, 7))
        settings = {"backwards": int(backwards), "raw_steps": bool(raw_steps)}
        return nodes.create(native.OPERATOR, tensors, settings).outputs()

    return ConversionExtension("edgekit.native_scan.default", convert)


def extension() -> Path:
    """The library, in memory until the process ends: nodes of its operators may outlive whoever loaded it.

    To be called once ``openvino`` is imported, whose libraries it needs.
    """
    path = native.OPENVINO.path()
    ctypes.CDLL(str(path))
    return path


def _as_taken(program: ExportedProgram) -> ExportedProgram:
    """The program with attention written out where OpenVINO 2026.4 computes it wrongly.

    Where there are as many tokens as heads, it takes one axis for the other: MobileViT on small images answered
    with logits that were 11 % off.
    """
    import torch

    attention = torch.ops.aten.scaled_dot_product_attention.default
    written: ExportedProgram = program.run_decompositions({attention: _attention})
    return written


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(Q K' scale + mask) V (Vaswani et al. 2017); left as it is where tokens and heads differ in number.

    Tokens whose number is open may be as many as heads.
    """
    if query.dim() != 4 or is_causal or enable_gqa:
        return NotImplemented
    tokens = query.shape[2], key.shape[2]
    if all(isinstance(one, int) for one in tokens) and query.shape[1] not in tokens:
        return NotImplemented
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -float("inf")) if not mask.is_floating_point() else scores + mask
    return scores.softmax(-1) @ value


def _cause(error: Exception) -> str:
    """What went wrong: the converter tells the operators that it does not know after lines of its own."""
    unknown = re.search(r"No conversion rule found for operations: (.+)", str(error))
    return f"it has no rule for {unknown.group(1)}" if unknown else support.first_line(error)


def _is_weight(value: Any) -> bool:
    """Whether a value in the runtime model is the weight of a linear layer, which has two axes."""
    constant = value.get_node().get_rt_info()["layerType"].astype(str) == "Const"
    return bool(constant and value.get_partial_shape().rank == 2)


def _sizes(value: Any) -> list[int]:
    """Of a tensor in the runtime model, for one image where the batch is open."""
    return [one.get_length() if one.is_static else 1 for one in value.get_partial_shape()]


def _macs(node: Any) -> int:
    """Of a layer in the runtime model, whose shapes are those of the network, however the weights are stored."""
    kind = node.get_rt_info()["layerType"].astype(str)
    weights = _sizes(node.input_value(1))
    if kind == "Deconvolution":
        given = _sizes(node.input_value(0))
        return support.layer_macs(given, weights, given[1])
    output = _sizes(node.output(0))
    return support.layer_macs(output, weights, output[-1 if kind in _PRODUCTS else 1])


def _compile(
    path: Path,
    target: Setting,
    precision: Precision,
    mode: dict[str, Any],
    shape: Sequence[int] | None = None,
) -> Any:
    """The file, ready to run; for inputs of ``shape`` alone where one is given."""
    no_telemetry()
    import openvino

    # The precision is always said: left alone, OpenVINO runs BF16 where the CPU can.
    settings = {_KEY: _HINT[precision], **mode, **target.options}
    try:
        core = openvino.Core()
        if f'version="{native.OPENVINO_SET}"'.encode() in path.read_bytes():
            core.add_extension(str(extension()))
        model = core.read_model(path)
        if shape is not None:
            model.reshape(list(shape))
        return core.compile_model(model, target.device, settings)
    except RuntimeError as error:
        raise DeviceError(f"OpenVINO cannot load it: {error}", where=str(path)) from error


class _Session:
    def __init__(self, compiled: Any, precision: Precision, compile_for: Callable[..., Any]) -> None:
        import openvino

        self._precision = precision
        self._compiled = compiled
        self._compile_for = compile_for
        self._ran: tuple[int, ...] = ()
        self._request = compiled.create_infer_request()
        self._tensor = openvino.Tensor
        # The request keeps the memory of the answer; asking for it again in each run takes as long as a layer.
        # A batch that is open has no such memory before the run.
        fixed = compiled.output(0).get_partial_shape().is_static
        self._answer = self._request.get_output_tensor(0).data if fixed else None
        self._bound: NDArray[np.float32] | None = None

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        # The request reads the caller's memory: a copy of the input is no part of the inference. The same array
        # again is bound already, and its new values are seen.
        if batch is not self._bound:
            whole = np.ascontiguousarray(batch, np.float32)
            self._request.set_input_tensor(self._tensor(whole, shared_memory=True))
            self._bound = batch if whole is batch else None
        # In this thread: 'start_async' hands the work to another, up to a tenth of a small network's time.
        self._request.infer(share_outputs=True)
        answer = self._request.get_output_tensor(0).data if self._answer is None else self._answer
        self._ran = batch.shape
        result: NDArray[np.float32] = np.array(answer, np.float32)
        return result

    def executed(self) -> Executed:
        """Read from the runtime model that OpenVINO compiled."""
        layers: Counter[str] = Counter()
        macs: Counter[str] = Counter()
        fallbacks = []
        compiled = self._compiled
        if any(side.is_dynamic for side in list(compiled.input(0).get_partial_shape())[1:]):
            # It tells no sizes where they are open.
            compiled = self._compile_for(shape=(1, *self._ran[1:]))
        for node in compiled.get_runtime_model().get_ordered_ops():
            info = node.get_rt_info()
            kind = info["layerType"].astype(str)
            if kind not in _LAYERS or (kind in _PRODUCTS and not _is_weight(node.input_value(1))):
                continue
            kind = _NAMES.get(info["runtimePrecision"].astype(str), info["runtimePrecision"].astype(str))
            layers[kind] += 1
            macs[kind] += _macs(node)
            if kind != self._precision:
                fallbacks.append(node.get_friendly_name())
        precision = support.mostly(layers, macs)
        return Executed(precision, dict(layers), "OpenVINO's runtime model", tuple(fallbacks), dict(macs))
