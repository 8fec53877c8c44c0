"""coremltools' quantization of weights; that of activations needs a Mac."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.environment import no_telemetry
from edgekit.errors import UnsupportedError
from edgekit.runtimes import support
from edgekit.runtimes.base import Exported
from edgekit.target import Target


class CoreMLWeights:
    """``linear_quantize_weights``, symmetric and per channel; the computation stays in float."""

    name = "weights"
    packages: tuple[str, ...] = ("coremltools",)
    missing: tuple[dict[str, str], str] = ({"coremltools": "coremltools"}, "coreml")

    def quantize(self, made: Exported, images: NDArray[np.float32], target: Target, folder: Path) -> Exported:
        """See ``OwnInt8``; the images are not needed."""
        no_telemetry()
        with support.quiet():
            import coremltools
            from coremltools.optimize import coreml as optimize
        path = folder / "model.mlpackage"
        with support.quiet():
            try:
                read = coremltools.models.MLModel(str(made.path), skip_model_load=True)
                every = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", granularity="per_channel")
                written = optimize.linear_quantize_weights(read, optimize.OptimizationConfig(every))
                written.save(str(path))
            except Exception as error:  # whatever the tool meets in the graph
                text = f"coremltools cannot quantize the weights: {support.first_line(error)}"
                raise UnsupportedError(text) from error
        functions = written.get_spec().mlProgram.functions.values()
        blocks = [block for one in functions for block in one.block_specializations.values()]
        quantized = sum(one.type.startswith("constexpr") for block in blocks for one in block.operations)
        if not quantized:
            raise UnsupportedError("coremltools left every weight in float: none has more than 2048 values")
        details = {
            **made.details,
            "weights_in_int8": quantized,
            "exporter": "coremltools, linear_quantize_weights",
            "activations": "float",
        }
        return Exported(path, made.inputs, made.outputs, details)
