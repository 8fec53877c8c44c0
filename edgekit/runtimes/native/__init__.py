"""The selective scan as a native operator of OpenVINO and of ONNX Runtime.

A graph of standard operators writes the states of a scan to memory again and again; one fused loop keeps them in
registers. A file with the operator runs only where the library is loaded, so a recipe asks for it
(``native_operators``) and the file of standard operators is always made beside it.
"""

from __future__ import annotations

from edgekit.runtimes.native.library import Library

#: The operator's type, and the name of the set that it belongs to in either runtime.
OPERATOR = "SelectiveScan"
OPENVINO_SET, ONNX_SET = "edgekit", "edgekit.native"
_SCAN = "selective_scan.hpp"

OPENVINO = Library(
    "OpenVINO",
    "openvino",
    ("openvino_extension.cpp", _SCAN),
    "include",
    ("libs/libopenvino.so.*", "libs/libtbb.so.*"),
)
ONNXRUNTIME = Library("ONNX Runtime", "onnxruntime", ("onnxruntime_operator.cpp", _SCAN))

__all__ = ["ONNXRUNTIME", "ONNX_SET", "OPENVINO", "OPENVINO_SET", "OPERATOR", "Library"]
