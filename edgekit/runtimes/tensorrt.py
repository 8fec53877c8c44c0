"""TensorRT on NVIDIA Jetson and RTX: ONNX here, the engine on the device."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DeviceError, MissingError, UnsupportedError
from edgekit.quantization.placement import Style
from edgekit.runtimes import cuda_driver, support, tensorrt_engine, tensorrt_rules
from edgekit.runtimes.base import Executed, Exported, Runtime
from edgekit.runtimes.onnxruntime import OPSET, to_onnx

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target

#: An engine is bound to the GPU and the TensorRT version that built it, so the file that travels is ONNX.
STYLE = Style("tensorrt", every_output=False, symmetric=True)
#: Types of a layer's weights as TensorRT's engine inspector names them.
_NAMES = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16", "Int8": "int8"}


class TensorRT(Runtime):
    """The ONNX file that TensorRT's builder takes on the device."""

    name = "tensorrt"
    prepares = True
    packages: tuple[str, ...] = ("tensorrt", "onnx", "onnxscript")

    def cannot_export(self, target: Target) -> str | None:
        """See ``Runtime``."""
        return support.missing({"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript"}, "onnxruntime")

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        absent = support.missing({"tensorrt": "tensorrt"}, "tensorrt")
        if absent:
            return f"{absent}, on a machine with an NVIDIA GPU and its driver"
        return cuda_driver.missing()

    @support.without_history()
    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model.onnx``; symmetric explicit quantization for INT8."""
        import onnx

        from edgekit.quantization import program

        made = program.in_precision(model, precision, STYLE)
        path = folder / "model.onnx"
        to_onnx(made, path)
        written = onnx.load(path)
        problems = tensorrt_rules.broken(written)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise UnsupportedError(
                f"TensorRT would not take the ONNX file, or would not run it as asked: {problems[0]}{more}",
                remedy="replace the operator, or leave the layer in float with 'keep_float'",
            )
        quantized, layers = tensorrt_rules.quantized_layers(written)
        inputs, outputs = support.specs(model)
        build = tensorrt_engine.BuildOptions.of(target, precision).command(path.name)
        details = {
            "format": "ONNX",
            "opset": OPSET,
            "build_on_device": build,
            "checked": "against TensorRT's documented rules; the engine is built on the device",
            "layers_in_int8": f"{quantized} of {layers}",
        }
        return Exported(path, inputs, outputs, details)

    def prepare(self, path: Path, target: Setting, precision: Precision) -> None:
        """Build the engine, unless it is in the cache."""
        import tensorrt

        options, gpu = tensorrt_engine.BuildOptions.of(target, precision), cuda_driver.Gpu()
        folder = tensorrt_engine.cache()
        if tensorrt_engine.find(path, options, gpu.name, tensorrt.__version__, folder) is None:
            tensorrt_engine.build(path, options, gpu.name, folder)

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Open the engine that ``prepare`` built of the file.

        Raises:
            MissingError: TensorRT or the driver is not here, or the engine was not built.
        """
        reason = self.cannot_run(target)
        if reason:
            raise MissingError(reason, where=str(path))
        return _Session(path, tensorrt_engine.BuildOptions.of(target, precision))


class _Session:
    def __init__(self, path: Path, options: tensorrt_engine.BuildOptions) -> None:
        import tensorrt as trt

        self._trt = trt
        self._precision = options.precision
        self._gpu = cuda_driver.Gpu()
        folder = tensorrt_engine.cache()
        found = tensorrt_engine.find(path, options, self._gpu.name, trt.__version__, folder)
        if found is None:
            raise MissingError("there is no engine of it in the cache", where=str(path), remedy="prepare it first")
        self._built = found
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(found.path.read_bytes())
        if self._engine is None:
            raise DeviceError("TensorRT cannot load the engine; its log says why", where=str(found.path))
        self._context: Any = self._engine.create_execution_context()
        self._given = self._bind(support.INPUT)
        self._made = self._bind(support.OUTPUT)

    def _bind(self, name: str) -> tuple[int, NDArray[Any]]:
        """Memory for a tensor, on the GPU and here."""
        values = np.zeros(
            tuple(self._engine.get_tensor_shape(name)), self._trt.nptype(self._engine.get_tensor_dtype(name))
        )
        address = self._gpu.allocate(values.nbytes)
        self._context.set_tensor_address(name, address)
        return address, values

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        # Input and output cross to the GPU and back, as they do in use; the call returns when they are here.
        address, given = self._given
        given[...] = batch
        self._gpu.to_gpu(given, address)
        if not self._context.execute_async_v3(self._gpu.stream):
            raise DeviceError("TensorRT could not start the inference; its log says why")
        address, made = self._made
        self._gpu.to_host(address, made)
        self._gpu.synchronize()
        return made.astype(np.float32)

    def executed(self) -> Executed:
        """Read from the engine inspector: the types of the weights of each layer that has some."""
        inspector = self._engine.create_engine_inspector()
        told = json.loads(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))
        layers: Counter[str] = Counter()
        fallbacks = []
        for layer in told.get("Layers", []):
            # An engine built without details gives names alone; layers without weights have none of them.
            weights = layer.get("Weights") if isinstance(layer, dict) else None
            if not isinstance(weights, dict) or not weights.get("Count"):
                continue
            kind = _NAMES.get(str(weights.get("Type")), str(weights.get("Type")))
            layers[kind] += 1
            if kind != self._precision:
                fallbacks.append(str(layer.get("Name")))
        precision = layers.most_common(1)[0][0] if layers else "unknown"
        how = "TensorRT's engine inspector: the types of the weights of each layer"
        return Executed(precision, dict(layers), how, tuple(fallbacks), built=self._built.told())
