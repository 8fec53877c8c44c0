"""ONNX Runtime: the file that most servers and desktops can run, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DeviceError, UnsupportedError
from edgekit.quantization.placement import Style
from edgekit.runtimes import native, support
from edgekit.runtimes.base import Executed, Exported, Runtime

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Axis, Precision, Target

OPSET = 20  # the first that has GELU as one operator, which is a third of the time of some networks
#: ONNX Runtime fuses Q/DQ around single operators into QLinear kernels, which take and give 8 bits; its x86 kernels
#: want unsigned activations. Of grouped convolutions only the depthwise ones have an INT8 kernel; others take ten
#: times as long as in float. A depthwise convolution takes two to three times as long as in float, which pays only
#: where its input would have to be dequantized for it, and the first convolution of an image three times.
#: Convolutions with several kernels a channel and permutations one after another have forms that it computes
#: faster, and normalization over large images one that is closer.
STYLE = Style(
    "onnxruntime",
    unsigned=True,
    linear_output=False,
    bias_apart=True,
    fences=True,
    grouped=False,
    lone_depthwise=False,
    least_products=256,
    plain_depthwise=True,
    short_moves=True,
    norms_over=16384,
    scan="correct",
)
#: Nodes of a program up to which the exporter rewrites patterns. It looks for each in the whole graph, which takes
#: minutes for the thousands of nodes that selective scans have; ONNX Runtime finds most of them again by itself.
_MOST_REWRITTEN = 4000
#: Where softplus is its argument, to the last bit of float32.
_EXACT_SOFTPLUS = 20
#: At the end of a file, in which the operators' sets are named.
_TAIL_BYTES = 4096
_INT8_OPERATORS = {"QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger", "ConvInteger", "MatMulIntegerToFloat"}
#: Where an INT8 operator takes its weights; the others take them second.
_WEIGHTS = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
#: Execution providers by the target's device, and the precisions that they take from this file.
_PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TENSORRT": "TensorrtExecutionProvider",
}
_PRECISIONS = {"CPU": ("fp32", "int8"), "CUDA": ("fp32",), "TENSORRT": ("fp32", "fp16")}
#: Of operators that keep channels in blocks and fill the last one up with zeros.
_BLOCKED = "com.microsoft.nchwc"
_FLOAT_OPERATORS = {"Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul", "FusedGemm", "NhwcFusedConv"}


def to_onnx(program: ExportedProgram, path: Path) -> None:
    """Write an exported program as one ONNX file with named input and output.

    Raises:
        UnsupportedError: an operator of the network has no ONNX form.
    """
    import onnx
    import torch
    from onnxscript import optimizer

    small = len(program.graph.nodes) <= _MOST_REWRITTEN
    with support.quiet():
        try:
            made = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=[support.INPUT],
                output_names=[support.OUTPUT],
                verbose=False,
                optimize=small,
                custom_translation_table={**native_operators(), torch.ops.aten.softplus.default: _softplus},
            )
            if made is not None and not small:
                optimizer.fold_constants(made.model)
                optimizer.remove_unused_nodes(made.model)
        except torch.onnx.errors.OnnxExporterError as error:
            raise UnsupportedError(
                f"the network cannot be exported to ONNX: {_cause(error)}",
                remedy="replace the operator that it names",
            ) from error
    if made is None:
        raise UnsupportedError("the ONNX exporter gave no program", remedy="report the network's name")
    proto: Any = made.model_proto
    # The exporter stores source lines of this machine at each node; they are no part of the model.
    for node in proto.graph.node:
        del node.metadata_props[:]
    for value in proto.graph.value_info:
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    _name_batch(proto.graph)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + e^(beta x)) / beta, in one operator where beta is 1; x where beta x is above the threshold.

    The exporter writes out any threshold, with casts that large graphs are left with. Above 20 there is no
    difference in float32.
    """
    from onnxscript import opset20

    scale = opset20.Constant(value_float=float(beta))
    scaled = x if beta == 1 else opset20.Mul(x, scale)
    made = opset20.Softplus(scaled)
    if beta != 1:
        made = opset20.Div(made, scale)
    if threshold < _EXACT_SOFTPLUS:
        made = opset20.Where(opset20.Greater(scaled, opset20.Constant(value_float=float(threshold))), x, made)
    return made


def native_operators() -> dict[Any, Any]:
    """How the exporter takes what an ONNX file has as edgekit's native operators."""
    import torch
    from onnx import defs
    from onnxscript import values

    from edgekit.zoo import state_space  # noqa: F401  (registers the operator)

    one = defs.OpSchema.FormalParameter
    schema = defs.OpSchema(
        native.OPERATOR,
        native.ONNX_SET,
        1,
        inputs=[one(name, "T") for name in ("u", "dt", "A", "B", "C", "skip")],
        outputs=[one("y", "T")],
        type_constraints=[("T", ["tensor(float)"], "")],
        attributes=[
            defs.OpSchema.Attribute("backwards", defs.OpSchema.AttrType.INT, ""),
            defs.OpSchema.Attribute("raw_steps", defs.OpSchema.AttrType.INT, ""),
        ],
    )
    made: Any = values.Op(values.Opset(native.ONNX_SET, 1), native.OPERATOR, schema)

    def scan(*arguments: Any) -> Any:
        *tensors, backwards, raw_steps = arguments
        return made(*tensors, backwards=backwards, raw_steps=int(raw_steps))

    return {torch.ops.edgekit.native_scan.default: scan}


def _needs_native_operators(path: Path) -> bool:
    """Whether the file names their set, which stands after everything large in it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return native.ONNX_SET.encode() in file.read()


def _name_batch(graph: Any) -> None:
    """Call the open batch by its name, where the exporter numbers it."""
    number = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info) if number else ():
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == number:
                dim.dim_param = "batch"


def _cause(error: BaseException) -> str:
    """What went wrong: the exporter tells it in the innermost of a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    operator = re.search(r"op='(aten\.[\w.]+)'", str(error))
    if "No ONNX function" in str(error) and operator:
        return f"there is no ONNX operator for {operator.group(1)}"
    return str(error).splitlines()[0]


class OnnxRuntime(Runtime):
    """ONNX, opset 20, run by the execution provider that the target's ``device`` names: CPU, CUDA or TENSORRT."""

    name = "onnxruntime"
    packages: tuple[str, ...] = ("onnxruntime", "onnx", "onnxscript")
    dynamic: tuple[Axis, ...] = ("batch", "size")
    set_at_load: tuple[Precision, ...] = ("fp16",)

    def cannot_export(self, target: Target) -> str | None:
        """See ``Runtime``."""
        return support.missing(
            {"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"},
            "onnxruntime",
        ) or _wrong_target(target)

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        unfit = support.missing({"onnxruntime": "onnxruntime"}, "onnxruntime") or _wrong_target(target)
        if unfit or target.device == "CPU":
            return unfit
        import onnxruntime

        provider, known = _PROVIDERS[target.device], onnxruntime.get_available_providers()
        if provider in known:
            return None
        return f"this ONNX Runtime has no {provider} (it has {', '.join(known)}); pip install onnxruntime-gpu"

    def native_library(self, target: Setting) -> native.Library | None:
        """See ``Runtime``."""
        return native.ONNXRUNTIME if target.device == "CPU" else None

    @support.without_history()
    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model.onnx``, in Q/DQ form for INT8."""
        from edgekit.quantization import program
        from edgekit.runtimes import open_axes

        made = program.in_precision(model, precision, STYLE)
        path = folder / "model.onnx"
        to_onnx(made, path)
        inputs, outputs = support.specs(model)
        details: dict[str, Any] = {"format": "ONNX", "opset": OPSET, "exporter": "torch.onnx (dynamo)"}
        if "size" in model.dynamic:
            details["sizes"] = open_axes.sizes(made, model.input_size[1:])._asdict()
        if model.native:
            native.ONNXRUNTIME.write_sources(folder)
            details["native operator"] = native.ONNXRUNTIME.command()
        return Exported(path, inputs, outputs, details)

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Open the file with all graph optimizations."""
        return _Session(path, target, precision)


def _wrong_target(target: Setting) -> str | None:
    if target.device not in _PROVIDERS:
        known = ", ".join(_PROVIDERS)
        return f"ONNX Runtime has no device '{target.device}' here, it has {known}; change the target file"
    allowed = _PRECISIONS[target.device]
    odd = [p for p in target.precisions if p not in allowed]
    where = f"ONNX Runtime on {target.device} runs {' and '.join(allowed)}"
    return f"{where}, not {', '.join(odd)}; change the target file" if odd else None


class _Session:
    def __init__(self, path: Path, target: Setting, precision: Precision) -> None:
        import onnxruntime

        self._library = onnxruntime
        self._path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = support.threads(target.threads)
        options.log_severity_level = 3
        self._natively = _needs_native_operators(path)
        if self._natively:
            options.register_custom_ops_library(str(native.ONNXRUNTIME.path()))
        own = {"trt_fp16_enable": precision == "fp16"} if target.device == "TENSORRT" else {}
        self._providers: list[Any] = [(_PROVIDERS[target.device], own)]
        self._on_cpu = target.device == "CPU"
        self._ran: tuple[int, ...] = ()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=self._providers)
        except Exception as error:
            raise DeviceError(f"ONNX Runtime cannot load it: {error}", where=str(path)) from error
        asked, given = _PROVIDERS[target.device], self._session.get_providers()[0]
        if given != asked:
            # It goes on with another provider where one cannot be started, and only logs it.
            raise DeviceError(
                f"ONNX Runtime could not start {asked} and would have run on {given}",
                where=str(path),
                remedy="install the CUDA, cuDNN or TensorRT libraries that this ONNX Runtime was built for",
            )

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self._ran = batch.shape
        result: NDArray[np.float32] = self._session.run(None, {support.INPUT: batch})[0]
        return result

    def executed(self) -> Executed:
        """Read from the graph that ONNX Runtime optimized and can write out, and from a profile of one run."""
        if not self._on_cpu:
            return Executed("unknown", {}, "the providers for GPUs do not tell what precision their kernels run in")
        try:
            graph, outputs = self._optimized()
            unfilled = self._unfilled() if any(node.domain == _BLOCKED for node in graph.node) else {}
        except ImportError:
            return Executed("unknown", {}, "reading the optimized graph back needs the package 'onnx'")
        layers: Counter[str] = Counter()
        macs: Counter[str] = Counter()
        fallbacks = []
        quantized = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node)
        # Optimized, the graph has no other nodes left between a weight and its layer. The weight of a linear layer
        # has two axes; a product with another constant is part of a scan.
        shapes = {one.name: list(one.dims) for one in graph.initializer}
        for node in graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Transpose") and node.input[0] in shapes:
                shapes[node.output[0]] = shapes[node.input[0]]
                continue
            weights = shapes.get(node.input[_WEIGHTS.get(node.op_type, 1)]) if len(node.input) > 1 else None
            if node.op_type in _INT8_OPERATORS:
                kind = "int8"
            elif node.op_type in _FLOAT_OPERATORS and ("Conv" in node.op_type or (weights and len(weights) == 2)):
                kind = "fp32"
                if quantized:
                    fallbacks.append(node.name or node.op_type)
            else:
                continue
            layers[kind] += 1
            made = outputs.get(node.name)
            true = unfilled.get(node.name.partition("_nchwc")[0]) if node.domain == _BLOCKED else None
            if made and true:
                weights, made = true, [made[0], true[0], *made[2:]]
            if made and weights:
                channels = weights[0] if "Conv" in node.op_type else made[-1]
                macs[kind] += support.layer_macs(made, weights, channels)
        precision = support.mostly(layers, macs)
        how = "ONNX Runtime's optimized graph and a profile of one run"
        return Executed(precision, dict(layers), how, tuple(fallbacks), dict(macs))

    def _optimized(self) -> tuple[Any, dict[str, list[int]]]:
        """The optimized graph, and the shape of what each of its nodes makes."""
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            options = self._written_to(Path(folder) / "optimized.onnx")
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = self._library.InferenceSession(str(self._path), options, providers=self._providers)
            given = session.get_inputs()[0]
            one = [
                1 if axis == 0 else side if isinstance(side, int) else self._ran[axis]
                for axis, side in enumerate(given.shape)
            ]
            session.run(None, {given.name: np.zeros(one, np.float32)})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
            graph = onnx.load(options.optimized_model_filepath).graph
        outputs = {}
        for event in events:
            name, ran = event["name"].removesuffix("_kernel_time"), event.get("args", {})
            if name != event["name"] and ran.get("output_type_shape"):
                outputs[name] = next(iter(ran["output_type_shape"][0].values()))
        return graph, outputs

    def _unfilled(self) -> dict[str, list[int]]:
        """Shapes of convolutions' weights, by what they make, before channels are filled up to whole blocks."""
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            options = self._written_to(Path(folder) / "optimized.onnx")
            # All but the layouts, which come last.
            options.graph_optimization_level = self._library.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            self._library.InferenceSession(str(self._path), options, providers=self._providers)
            graph = onnx.load(options.optimized_model_filepath).graph
        shapes = {one.name: list(one.dims) for one in graph.initializer}
        return {
            node.output[0]: shapes[node.input[1]]
            for node in graph.node
            if node.op_type in _FLOAT_OPERATORS and node.input[1] in shapes
        }

    def _written_to(self, path: Path) -> Any:
        """Options that write the optimized graph."""
        options = self._library.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(path)
        if self._natively:
            options.register_custom_ops_library(str(native.ONNXRUNTIME.path()))
        return options
