"""NNCF's post-training quantization of an OpenVINO model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.environment import no_telemetry
from edgekit.errors import UnsupportedError
from edgekit.runtimes import support
from edgekit.runtimes.base import Exported
from edgekit.target import Target


class Nncf:
    """``nncf.quantize`` on the float IR, with its defaults; its transformer scheme where there is attention."""

    name = "nncf"
    packages: tuple[str, ...] = ("nncf", "openvino")
    missing: tuple[dict[str, str], str] = ({"nncf": "nncf", "openvino": "openvino"}, "openvino")

    def quantize(self, made: Exported, images: NDArray[np.float32], target: Target, folder: Path) -> Exported:
        """See ``OwnInt8``."""
        no_telemetry()
        import openvino

        with support.quiet():
            import nncf
        read = openvino.Core().read_model(made.path)
        attends = any(one.get_type_name() in _ATTENTION for one in read.get_ordered_ops())
        data: Any = nncf.Dataset([image[None] for image in images])
        with support.quiet():
            try:
                quantized = nncf.quantize(
                    read,
                    data,
                    subset_size=len(images),
                    model_type=nncf.ModelType.TRANSFORMER if attends else None,
                )
            except Exception as error:  # whatever the tool meets in the graph
                raise UnsupportedError(f"NNCF cannot take the network: {support.first_line(error)}") from error
        path = folder / "model.xml"
        openvino.save_model(quantized, path, compress_to_fp16=False)
        return Exported(path, made.inputs, made.outputs, {**made.details, "exporter": "nncf.quantize"})


_ATTENTION = ("ScaledDotProductAttention", "Softmax", "SoftMax")
