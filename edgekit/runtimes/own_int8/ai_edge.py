"""The AI Edge Quantizer's static INT8 of a TFLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UnsupportedError
from edgekit.runtimes import support
from edgekit.runtimes.base import Exported
from edgekit.target import Target


class AiEdge:
    """Its recipe ``static_wi8_ai8``: weights per channel, activations ``int8``."""

    name = "ai-edge"
    packages: tuple[str, ...] = ("ai-edge-quantizer", "ai-edge-litert", "litert-torch")
    missing: tuple[dict[str, str], str] = ({"ai_edge_quantizer": "ai-edge-quantizer"}, "litert")

    def quantize(self, made: Exported, images: NDArray[np.float32], target: Target, folder: Path) -> Exported:
        """See ``OwnInt8``."""
        with support.quiet():
            from ai_edge_litert.interpreter import Interpreter
            from ai_edge_quantizer import Quantizer, recipe
        path = folder / "model.tflite"
        with support.quiet():
            try:
                signature, names = next(iter(Interpreter(str(made.path)).get_signature_list().items()))
                given = names["inputs"][0]
                quantizer = Quantizer(str(made.path), recipe.static_wi8_ai8())
                data: dict[str, Any] = {signature: [{given: image[None]} for image in images]}
                ranges = quantizer.calibrate(data, num_threads=support.threads(target.threads))
                quantizer.quantize(ranges).export_model(str(path))
            except Exception as error:  # whatever the tool meets in the graph
                text = f"the AI Edge Quantizer cannot take the network: {support.first_line(error)}"
                raise UnsupportedError(text) from error
        return Exported(path, made.inputs, made.outputs, {**made.details, "exporter": "ai-edge-quantizer"})
