"""The runtimes' own INT8 quantizers, by the name of the runtime. A new one is a file and a line here."""

from __future__ import annotations

from edgekit.runtimes.own_int8.ai_edge import AiEdge
from edgekit.runtimes.own_int8.base import OwnInt8
from edgekit.runtimes.own_int8.coreml_weights import CoreMLWeights
from edgekit.runtimes.own_int8.nncf import Nncf
from edgekit.runtimes.own_int8.onnxruntime_static import OnnxRuntimeStatic

_QUANTIZERS: dict[str, OwnInt8] = {
    "coreml": CoreMLWeights(),
    "litert": AiEdge(),
    "onnxruntime": OnnxRuntimeStatic(),
    "openvino": Nncf(),
}


def get(runtime: str) -> OwnInt8 | None:
    """The quantizer that the runtime called ``runtime`` brings; none where it brings none."""
    return _QUANTIZERS.get(runtime)


__all__ = ["OwnInt8", "get"]
