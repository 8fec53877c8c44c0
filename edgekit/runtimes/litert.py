"""LiteRT (TFLite): Android, and its XNNPACK kernels on any CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.environment import no_telemetry
from edgekit.errors import DeviceError, UnsupportedError
from edgekit.quantization.placement import Style
from edgekit.runtimes import support
from edgekit.runtimes.base import Executed, Exported, Runtime

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target

#: TFLite kernels are INT8 in and INT8 out, the last layer's too; the converter folds the weights itself. XNNPACK
#: has INT8 kernels for depthwise convolutions of up to 25 taps; larger ones run outside of it, many times slower.
#: The converter gives a concatenation the scale of one of its inputs where its result is not quantized, and forgets
#: the shape of a dequantize node behind which it transposes for one of several readers. Normalization over large
#: images has a form that is closer.
STYLE = Style(
    "litert",
    fold_weights=False,
    logits=True,
    fences=True,
    joins=True,
    own_dequantize=True,
    most_taps=25,
    joined_stacks=True,
    norms_over=16384,
    scan="delegated",
)
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


class LiteRT(Runtime):
    """A ``.tflite`` file, run with XNNPACK."""

    name = "litert"
    packages: tuple[str, ...] = ("ai-edge-litert", "litert-torch")

    def cannot_export(self, target: Target) -> str | None:
        """See ``Runtime``."""
        return support.missing({"litert_torch": "litert-torch"}, "litert")

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        return support.missing({"ai_edge_litert": "ai-edge-litert"}, "litert")

    @support.without_history()
    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model.tflite``; input and output stay float32."""
        no_telemetry()
        from edgekit.zoo import torchvision_shim

        # The converter tries to import torchvision; a failed try would break every later import of timm.
        torchvision_shim.declare()
        with support.quiet():
            import litert_torch
            from litert_torch.quantize import pt2e_quantizer, quant_config

        from edgekit.quantization import program

        made = program.in_precision(model, precision, STYLE)
        settings = None
        if precision == "int8":
            # The configuration only tells the converter that Q/DQ nodes are static INT8; without it they
            # stay in the file and everything runs in float.
            mode = pt2e_quantizer.PT2EQuantizer().set_global(pt2e_quantizer.get_symmetric_quantization_config())
            settings = quant_config.QuantConfig(pt2e_quantizer=mode)
        path = folder / "model.tflite"
        with support.quiet() as said:
            try:
                converted = litert_torch.convert(
                    made.module(check_guards=False), (program.example(model),), quant_config=settings
                )
                converted.export(str(path))
            except Exception as error:  # the converter's own assertions as well
                last = [line for line in said.getvalue().splitlines() if "error" in line.lower()][:1]
                text = f"LiteRT cannot take the network: {error} {' '.join(last)}"
                raise UnsupportedError(text.strip()) from error
        inputs, outputs = support.specs(model)
        return Exported(path, inputs, outputs, {"format": "TFLite flatbuffer", "exporter": "litert-torch"})

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Open the file with the XNNPACK delegate."""
        return _Session(path, target, precision)


def _macs(operation: dict[str, Any], shapes: dict[int, list[int]]) -> int:
    """Of a layer; channels are the last axis of what it takes and makes."""
    inputs = [int(one) for one in operation["inputs"]]
    weights = shapes[inputs[1]]
    if operation["op_name"] == "TRANSPOSE_CONV":  # takes its output's shape, its weights, its input
        given = shapes[inputs[2]]
        return support.layer_macs(given, weights, given[-1])
    output = shapes[int(operation["outputs"][0])]
    return support.layer_macs(output, weights, output[-1])


class _Session:
    def __init__(self, path: Path, target: Setting, precision: Precision) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._precision = precision
        try:
            with support.quiet():
                self._interpreter = Interpreter(str(path), num_threads=support.threads(target.threads))
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"LiteRT cannot load it: {error}", where=str(path)) from error
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        values: NDArray[Any] = batch
        if self._input["dtype"] != np.float32:
            scale, zero_point = self._input["quantization"]
            limits = np.iinfo(self._input["dtype"])
            values = np.clip(np.rint(batch / scale) + zero_point, limits.min, limits.max).astype(
                self._input["dtype"]
            )
        self._interpreter.set_tensor(self._input["index"], values)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])
        if self._output["dtype"] != np.float32:
            scale, zero_point = self._output["quantization"]
            result = (result.astype(np.float32) - zero_point) * scale
        return result.astype(np.float32, copy=False)

    def executed(self) -> Executed:
        """Read from the types of the tensors that each operator of the file reads and writes."""
        details = self._interpreter.get_tensor_details()
        tensors = {t["index"]: np.dtype(t["dtype"]) for t in details}
        shapes = {t["index"]: [int(size) for size in t["shape"]] for t in details}
        layers: dict[str, int] = {}
        macs: dict[str, int] = {}
        fallbacks = []
        for operation in self._interpreter._get_ops_details():
            if operation["op_name"] not in _LAYERS:
                continue
            kinds = {tensors.get(int(operation["inputs"][0])), tensors.get(int(operation["outputs"][0]))}
            kind = (
                "int8" if kinds == {np.dtype(np.int8)} else "fp32" if kinds == {np.dtype(np.float32)} else "mixed"
            )
            layers[kind] = layers.get(kind, 0) + 1
            macs[kind] = macs.get(kind, 0) + _macs(operation, shapes)
            if kind != self._precision:
                fallbacks.append(f"{operation['op_name']} {operation['index']}")
        delegated = any(o["op_name"] == "DELEGATE" for o in self._interpreter._get_ops_details())
        how = "types of the tensors of each operator" + (
            ", run by XNNPACK" if delegated else ", without a delegate"
        )
        precision = support.mostly(layers, macs)
        return Executed(precision, layers, how, tuple(fallbacks), macs)
