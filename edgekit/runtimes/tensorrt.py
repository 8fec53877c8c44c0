"""TensorRT on NVIDIA Jetson and RTX: ONNX here, the engine on the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import MissingError, UnsupportedError
from edgekit.quantization.placement import Style
from edgekit.runtimes import support, tensorrt_rules
from edgekit.runtimes.base import Exported, Runtime, Session
from edgekit.runtimes.onnxruntime import OPSET, to_onnx

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target

#: An engine is bound to the GPU and the TensorRT version that built it, so the file that travels is ONNX.
STYLE = Style("tensorrt", every_output=False, symmetric=True)


class TensorRT(Runtime):
    """The ONNX file that TensorRT's builder takes on the device."""

    name = "tensorrt"
    packages: tuple[str, ...] = ("tensorrt", "onnx", "onnxscript")

    def cannot_export(self, target: Target) -> str | None:
        """See ``Runtime``."""
        return support.missing({"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript"}, "onnxruntime")

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        absent = support.missing({"tensorrt": "tensorrt"}, "tensorrt")
        if absent:
            return f"{absent}, on a machine with an NVIDIA GPU and its driver"
        return "this version of edgekit writes the ONNX file for TensorRT and does not build engines yet"

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
        build = ["trtexec", "--onnx=model.onnx", "--saveEngine=model.engine"]
        build += {"fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}.get(precision, [])
        details = {
            "format": "ONNX",
            "opset": OPSET,
            "build_on_device": " ".join(build),
            "checked": "against TensorRT's documented rules; the engine is built on the device",
            "layers_in_int8": f"{quantized} of {layers}",
        }
        return Exported(path, inputs, outputs, details)

    def load(self, path: Path, target: Setting, precision: Precision) -> Session:
        """Refuses: there is no engine to load yet."""
        raise MissingError(str(self.cannot_run(target)), where=str(path))
