"""ONNX Runtime's static quantization of an ONNX model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UnsupportedError
from edgekit.runtimes import support
from edgekit.runtimes.base import Exported
from edgekit.target import Target


class OnnxRuntimeStatic:
    """``quantize_static`` in Q/DQ form after its pre-processing: weights per channel, activations ``uint8``."""

    name = "static"
    packages: tuple[str, ...] = ("onnxruntime", "onnx", "onnxscript")
    missing: tuple[dict[str, str], str] = ({"onnxruntime": "onnxruntime", "onnx": "onnx"}, "onnxruntime")

    def quantize(self, made: Exported, images: NDArray[np.float32], target: Target, folder: Path) -> Exported:
        """See ``OwnInt8``."""
        with support.quiet():
            from onnxruntime import quantization
            from onnxruntime.quantization.shape_inference import quant_pre_process

        class Images(quantization.CalibrationDataReader):  # type: ignore[misc]  # the package ships no types
            """Hands out one image after the other."""

            def __init__(self) -> None:
                self._left = iter(images)

            def get_next(self) -> dict[str, Any] | None:
                """The next input, or none at the end."""
                image = next(self._left, None)
                return None if image is None else {support.INPUT: image[None]}

        with tempfile.TemporaryDirectory() as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            path = folder / "model.onnx"
            with support.quiet():
                try:
                    # Shapes are static and known; the symbolic inference needs sympy and adds nothing.
                    quant_pre_process(str(made.path), str(prepared), skip_symbolic_shape=True)
                    quantization.quantize_static(
                        str(prepared),
                        str(path),
                        Images(),
                        quant_format=quantization.QuantFormat.QDQ,
                        per_channel=True,
                        activation_type=quantization.QuantType.QUInt8,
                        weight_type=quantization.QuantType.QInt8,
                    )
                except Exception as error:  # whatever the tool meets in the graph
                    text = f"ONNX Runtime's quantizer cannot take the network: {support.first_line(error)}"
                    raise UnsupportedError(text) from error
        return Exported(path, made.inputs, made.outputs, {**made.details, "exporter": "quantize_static"})
