"""Build the quantized program: ``torch.export`` plus ``quantized_decomposed`` Q/DQ nodes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError
from edgekit.quantization import placement
from edgekit.quantization.placement import Style

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from edgekit.model import Model

Range = tuple[float, float]


def example(model: Model) -> torch.Tensor:
    """A zero input of batch 1."""
    import torch

    return torch.zeros(1, *model.input_size)


def export(network: torch.nn.Module, inputs: torch.Tensor) -> ExportedProgram:
    """``torch.export`` of a network in eval mode for the static shape of ``inputs``."""
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.export.export(network, (inputs,))


def float_graph(model: Model) -> GraphModule:
    """The model as a graph of ATen operators, with a shape at every node."""
    program = export(model.network, example(model))
    graph: GraphModule = program.module(check_guards=False)
    # .module() drops some metadata; names of call nodes are those of the program.
    values = {n.name: n.meta.get("val") for n in program.graph.nodes}
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.name in values:
            node.meta["val"] = values[node.name]
        elif node.op == "placeholder":
            node.meta["val"] = example(model)
    return graph


def float_program(model: Model) -> ExportedProgram:
    """The model before quantization, or without it."""
    return export(model.network, example(model))


def quantized_program(model: Model, style: Style) -> ExportedProgram:
    """The Q/DQ program of a quantized model, with the nodes placed as ``style`` says.

    Raises:
        InputError: the model is not quantized, or its ranges do not fit its graph.
    """
    if model.quantization is None:
        raise InputError("the model has no quantization ranges", remedy="add a 'quantize' pass")
    graph = float_graph(model)
    ranges = {name: (float(low), float(high)) for name, (low, high) in model.quantization["ranges"].items()}
    insert(graph, ranges, style, tuple(model.quantization["keep_float"]))
    return export(graph, example(model))


def run(program: ExportedProgram, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits ``float32[n, K]`` of inputs ``float32[n, C, H, W]``, one image at a time as the program is static."""
    import numpy
    import torch

    network = program.module(check_guards=False)
    with torch.no_grad():
        rows = [network(torch.from_numpy(image[None])).numpy() for image in inputs]
    found: NDArray[np.float32] = numpy.concatenate(rows)
    return found


def activation_parameters(
    span: Range, unsigned: bool = False, symmetric: bool = False
) -> tuple[float, int, int, int]:
    """Scale, zero point, least and greatest integer for a range; zero is always exact."""
    if symmetric:
        return max(-span[0], span[1], 127 * 2.0**-24) / 127.0, 0, -128, 127
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    scale = max((high - low) / 255.0, 2.0**-24)
    least, greatest = (0, 255) if unsigned else (-128, 127)
    zero_point = int(min(greatest, max(least, round(least - low / scale))))
    return scale, zero_point, least, greatest


def weight_scales(weight: torch.Tensor) -> torch.Tensor:
    """Symmetric scale of each output channel (axis 0), ``float32[channels]``."""
    return weight.detach().abs().flatten(1).amax(dim=1).clamp(min=2.0**-24) / 127.0


def insert(
    graph: GraphModule, ranges: dict[str, Range], style: Style, keep_float: tuple[str, ...] = ()
) -> GraphModule:
    """Place Q/DQ nodes in ``graph``, in place.

    Raises:
        InputError: a tensor that must be quantized has no range (other version of torch or of the network).
    """
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the quantized_decomposed operators

    layers = placement.compute_nodes(graph, keep_float)
    chosen = placement.tensors(graph, style, keep_float)
    nodes = {node.name: node for node in graph.graph.nodes}
    absent = sorted({root for root in chosen.values() if root not in ranges})
    if absent:
        raise InputError(
            f"no activation range for {len(absent)} tensors of the graph, such as '{absent[0]}'",
            remedy="quantize again: the ranges were made for another network or another version of torch",
        )
    ops = torch.ops.quantized_decomposed
    dtype = torch.uint8 if style.unsigned else torch.int8
    for name, root in chosen.items():
        scale, zero_point, least, greatest = activation_parameters(ranges[root], style.unsigned, style.symmetric)
        arguments = (scale, zero_point, least, greatest, dtype)
        _behind(
            graph,
            nodes[name],
            ops.quantize_per_tensor.default,
            ops.dequantize_per_tensor.default,
            arguments,
        )
    for index, node in enumerate(layers):
        _quantize_weight(graph, node, index, style.fold_weights)
    graph.graph.lint()
    graph.recompile()
    return graph


def _behind(graph: GraphModule, node: Node, quantize: Any, dequantize: Any, arguments: tuple[Any, ...]) -> None:
    readers = list(node.users)
    with graph.graph.inserting_after(node):
        first = graph.graph.call_function(quantize, (node, *arguments))
    with graph.graph.inserting_after(first):
        second = graph.graph.call_function(dequantize, (first, *arguments))
    for reader in readers:
        reader.replace_input_with(node, second)


def _quantize_weight(graph: GraphModule, node: Node, index: int, fold: bool) -> None:
    """Put the layer's weight behind ``dequantize_per_channel``."""
    import torch

    ops = torch.ops.quantized_decomposed
    weight = placement.weight_of(graph, node)
    scales = weight_scales(weight)
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    source: Any = node.args[1]
    names = {"scales": scales, "zeros": zeros}
    if fold:
        shape = (-1, *([1] * (weight.ndim - 1)))
        names["int8"] = (weight.detach() / scales.view(shape)).round().clamp(-127, 127).to(torch.int8)
    for name, value in names.items():
        graph.register_buffer(f"_weight_{index}_{name}", value)
    with graph.graph.inserting_before(node):
        attributes = {name: graph.graph.get_attr(f"_weight_{index}_{name}") for name in names}
        arguments = (attributes["scales"], attributes["zeros"], 0, -127, 127, torch.int8)
        if fold:
            stored = attributes["int8"]
        else:
            stored = graph.graph.call_function(ops.quantize_per_channel.default, (source, *arguments))
        restored = graph.graph.call_function(ops.dequantize_per_channel.default, (stored, *arguments))
    node.replace_input_with(source, restored)
    if fold and not source.users:
        graph.graph.erase_node(source)
