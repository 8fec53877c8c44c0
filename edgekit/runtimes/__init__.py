"""The runtimes that edgekit knows, by name. A new one is a file and a line here."""

from __future__ import annotations

from edgekit.runtimes.base import Executed, Exported, Runtime, Session
from edgekit.runtimes.coreml import CoreML
from edgekit.runtimes.executorch import ExecuTorch
from edgekit.runtimes.litert import LiteRT
from edgekit.runtimes.null import Null
from edgekit.runtimes.onnxruntime import OnnxRuntime
from edgekit.runtimes.openvino import OpenVINO
from edgekit.runtimes.tensorrt import TensorRT
from edgekit.runtimes.torch_eager import TorchEager

_RUNTIMES: dict[str, Runtime] = {
    one.name: one
    for one in (TorchEager(), OnnxRuntime(), OpenVINO(), TensorRT(), LiteRT(), ExecuTorch(), CoreML(), Null())
}


def get(name: str) -> Runtime:
    """The runtime called ``name``; target files are validated, so an unknown name is a defect."""
    return _RUNTIMES[name]


__all__ = ["Executed", "Exported", "Runtime", "Session", "get"]
