"""What TensorRT's documentation asks of an ONNX file with explicit quantization, checked without TensorRT.

From the support matrix of TensorRT's ONNX parser (onnx-tensorrt, ``docs/operators.md``, TensorRT 10) and the
chapter on quantized types of NVIDIA's developer guide: scales are constants above zero; zero points are zero; data
is INT8; activations have one scale, weights one an output channel; a layer runs in INT8 where both its input and
its weights, transposed or not, come from a DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

#: Opsets that the parser of TensorRT 10 reads.
OPSETS = range(9, 21)
#: Operators that networks export to and the parser takes.
OPERATORS = frozenset(
    """
    Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant
    ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal
    Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool
    Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LRN MatMul Max MaxPool Mean Min Mod Mul Neg Not
    Or Pad Pow PRelu QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign
    Sin Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh Tile TopK Transpose Trilu
    Unsqueeze Where Xor
    """.split()  # noqa: SIM905  (a hundred quoted words are harder to read)
)
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def broken(model: ModelProto) -> list[str]:
    """Each rule that the file breaks, with the node that breaks it; nothing where TensorRT should take it."""
    graph = _Graph(model)
    return [*_operators(model), *(problem for node in model.graph.node for problem in graph.of(node))]


def quantized_layers(model: ModelProto) -> tuple[int, int]:
    """How many layers with constant weights have both inputs behind a DequantizeLinear, and how many there are."""
    graph = _Graph(model)
    layers = [node for node in model.graph.node if graph.is_layer(node)]
    return sum(all(graph.dequantized(node)) for node in layers), len(layers)


def _operators(model: ModelProto) -> Iterator[str]:
    for one in model.opset_import:
        if one.domain in ("", "ai.onnx") and one.version not in OPSETS:
            yield f"opset {one.version}; TensorRT 10 reads {OPSETS.start} to {OPSETS[-1]}"
    for name in sorted({node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")} - OPERATORS):
        yield f"the operator {name} is not in its support matrix"
    for domain in sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"}):
        yield f"operators of the domain {domain} are unknown to it"


class _Graph:
    """Constants and makers of values by name."""

    def __init__(self, model: ModelProto) -> None:
        from onnx import helper, numpy_helper

        self.constants: dict[str, NDArray[Any]] = {
            one.name: numpy_helper.to_array(one) for one in model.graph.initializer
        }
        self.made_by: dict[str, NodeProto] = {}
        #: What changes with the input; all else TensorRT computes when it builds an engine.
        self.varying = {one.name for one in model.graph.input}
        for node in model.graph.node:
            self.made_by.update(dict.fromkeys(node.output, node))
            if not self.varying.isdisjoint(node.input):
                self.varying.update(node.output)
            if node.op_type == "Constant":
                # A tensor, or plain numbers (``value_ints`` and the like).
                value = helper.get_attribute_value(node.attribute[0])
                whole = node.attribute[0].name == "value"
                self.constants[node.output[0]] = numpy_helper.to_array(value) if whole else np.asarray(value)

    def dequantized(self, layer: NodeProto) -> tuple[bool, bool]:
        """Whether a layer's input and its weights come from a DequantizeLinear, the weights perhaps transposed."""
        given, weights = self.made_by.get(layer.input[0]), self.made_by.get(layer.input[1])
        if weights is not None and weights.op_type == "Transpose":
            weights = self.made_by.get(weights.input[0])
        first, second = (one is not None and one.op_type == "DequantizeLinear" for one in (given, weights))
        return first, second

    def is_layer(self, node: NodeProto) -> bool:
        """Whether it has constant weights, quantized or not, for an input that is not constant.

        The weights of a linear layer have two axes; a product with another constant is part of a scan.
        """
        if node.op_type not in _LAYERS or node.input[0] not in self.varying:
            return False
        weights = self.constants.get(self._root(node.input[1]))
        return weights is not None and ("Conv" in node.op_type or weights.ndim == 2)

    def of(self, node: NodeProto) -> Iterator[str]:
        """What is wrong with one node."""
        name = f"{node.op_type} '{node.name}'"
        if node.op_type in _QUANTIZERS:
            yield from self._quantizer(node, name)
        if self.is_layer(node):
            quantized = self.dequantized(node)
            if quantized == (False, True):
                yield f"{name}: its weights are quantized and its input is not, so it runs in float"
            if quantized == (True, False):
                yield f"{name}: its input is quantized and its weights are not, so it runs in float"

    def _root(self, name: str) -> str:
        while name in self.made_by and self.made_by[name].op_type in (*_QUANTIZERS, "Transpose", "Identity"):
            name = self.made_by[name].input[0]
        return name

    def _quantizer(self, node: NodeProto, name: str) -> Iterator[str]:
        scale = self.constants.get(node.input[1])
        if scale is None:
            yield f"{name}: its scale is no constant"
            return
        if not np.isfinite(scale).all() or not (scale > 0).all():
            yield f"{name}: a scale is not above zero"
        zero = self.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if zero is not None and zero.dtype != np.int8:
            yield f"{name}: its data is {zero.dtype}, not int8"
        if zero is not None and zero.any():
            yield f"{name}: its zero point is not zero"
        if scale.size > 1:
            yield from self._axis(node, name, scale.size)

    def _axis(self, node: NodeProto, name: str, channels: int) -> Iterator[str]:
        weights = self.constants.get(self._root(node.input[0]))
        if weights is None:
            yield f"{name}: an activation has a scale for each channel; it may have one"
            return
        axis = next((one.i for one in node.attribute if one.name == "axis"), 1) % weights.ndim
        for layer, order in self._layers_of(node.output[0], tuple(range(weights.ndim))):
            wanted = order[_output_axis(layer, weights.ndim)]
            if axis != wanted:
                yield f"{name}: scales along axis {axis}, but output channels of {layer.op_type} are axis {wanted}"
        if weights.shape[axis] != channels:
            yield f"{name}: {channels} scales for an axis of {weights.shape[axis]}"

    def _layers_of(self, weights: str, order: tuple[int, ...]) -> Iterator[tuple[NodeProto, tuple[int, ...]]]:
        """Layers that take these weights, and which axis of them each axis of what the layer takes is."""
        for one in {id(node): node for node in self.made_by.values()}.values():
            if one.op_type == "Transpose" and weights in one.input:
                given = next((tuple(x.ints) for x in one.attribute if x.name == "perm"), order[::-1])
                yield from self._layers_of(one.output[0], tuple(order[axis] for axis in given))
            elif one.op_type in _LAYERS and weights in one.input[1:2]:
                yield one, order


def _output_axis(layer: NodeProto, rank: int) -> int:
    if layer.op_type == "Gemm":
        return 0 if any(one.name == "transB" and one.i for one in layer.attribute) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(layer.op_type, rank - 1)
