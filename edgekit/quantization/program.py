"""Build the quantized program: ``torch.export`` plus ``quantized_decomposed`` Q/DQ nodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError, UnsupportedError
from edgekit.quantization import kernels, placement, rewrites
from edgekit.quantization.placement import PORTABLE, Style
from edgekit.quantization.scheme import DEFAULT, Scheme, Weights
from edgekit.runtimes.forms import depthwise, moves, norms, tokens
from edgekit.runtimes.open_axes import export

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from edgekit.model import Model
    from edgekit.target import Precision

Range = tuple[float, float]

#: The least scale of a channel, as a part of the greatest in its layer.
_LEAST_CHANNEL = 2.0**-12


def example(model: Model, batch: int = 1) -> torch.Tensor:
    """A zero input ``float32[batch, C, *spatial]``."""
    import torch

    return torch.zeros(batch, *model.input_size)


def float_graph(model: Model, batch: int = 1) -> GraphModule:
    """The model as a graph of ATen operators for ``batch`` images at once, with a shape at every node.

    A selective scan is one node. Where the batch is to stay open (``model.dynamic``), it has no number.
    """
    inputs = example(model, batch)
    return _as_graph(_with_whole_scans(model.network, inputs, model), inputs)


def _with_whole_scans(network: torch.nn.Module, inputs: torch.Tensor, model: Model) -> ExportedProgram:
    """Of the model's network, or of a graph that was made of it."""
    from edgekit.zoo import state_space

    with state_space.kept_whole(model.native):
        return export(network, inputs, model.dynamic)


def _as_graph(program: ExportedProgram, inputs: torch.Tensor) -> GraphModule:
    """A copy of the program that can be changed and exported again, with a value at every node."""
    graph: GraphModule = program.module(check_guards=False)
    # .module() drops some metadata; names of call nodes are those of the program.
    values = {n.name: n.meta.get("val") for n in program.graph.nodes}
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.name in values:
            node.meta["val"] = values[node.name]
        elif node.op == "placeholder":
            node.meta["val"] = inputs
    return graph


def in_precision(model: Model, precision: Precision, style: Style) -> ExportedProgram:
    """The program that a runtime converts: with Q/DQ nodes for INT8, the float one for all else.

    Raises:
        InputError: see ``quantized_program``.
    """
    return quantized_program(model, style) if precision == "int8" else float_program(model, style)


def float_program(model: Model, style: Style = PORTABLE) -> ExportedProgram:
    """The model before quantization, or without it; scans are one node where ``model.native`` says so."""
    from edgekit.zoo import state_space

    style, inputs = _for_axes(style, model), example(model)
    program = _with_whole_scans(model.network, inputs, model)
    if style.rewrites:
        graph = _as_graph(program, inputs)
        if _rewrite(graph, style) + _rewrite_late(graph, style):
            program = _with_whole_scans(graph, inputs, model)
    return state_space.write_out(program, style.scan)


def _for_axes(style: Style, model: Model) -> Style:
    """The style for the axes that are to stay open.

    Raises:
        UnsupportedError: the size is one of them, and the network has a selective scan.
    """
    from edgekit.zoo.state_space import SelectiveScan

    if "size" not in model.dynamic:
        return style
    if any(isinstance(one, SelectiveScan) for one in model.network.modules()):
        raise UnsupportedError(
            "a selective scan is written out for images of one size",
            where="dynamic",
            remedy="leave 'size' out of the recipe's 'dynamic'",
        )
    return style.of_any_size()


def quantized_program(model: Model, style: Style) -> ExportedProgram:
    """The Q/DQ program of a quantized model, with the nodes placed as ``style`` says.

    Raises:
        InputError: the model is not quantized, or its ranges do not fit its graph.
    """
    from edgekit.zoo import state_space

    if model.quantization is None:
        raise InputError("the model has no quantization ranges", remedy="add a 'quantize' pass")
    style, graph = _for_axes(style, model), float_graph(model)
    quantization = model.quantization
    if quantization.get("as_trained"):
        style = style.as_trained()
    asked = tuple(quantization["keep_float"])
    _rewrite(graph, style)
    keep_float = (*asked, *kernels.better_in_float(graph, style, asked))
    insert(graph, stored_ranges(quantization), style, keep_float, Scheme.of(quantization))
    _rewrite_late(graph, style)
    program = export(graph, example(model), model.dynamic)
    return state_space.write_out(program, style.scan)


def _rewrite(graph: GraphModule, style: Style) -> int:
    """What the runtime computes faster in another form, in place; how often."""
    changed = depthwise.plain(graph) if style.plain_depthwise else 0
    changed += moves.shorten(graph, style.channels_last) if style.short_moves else 0
    return changed + (moves.join_stacks(graph) if style.joined_stacks else 0)


def _rewrite_late(graph: GraphModule, style: Style) -> int:
    """The same for forms that replace tensors whose ranges are known by name, once these have been looked up."""
    changed = tokens.in_rows(graph) if style.rows else 0
    return changed + (0 if style.norms_over is None else norms.axis_by_axis(graph, style.norms_over))


def stored_ranges(quantization: dict[str, Any]) -> dict[str, Range]:
    """The ranges of a quantized model by tensor."""
    return {name: (float(low), float(high)) for name, (low, high) in quantization["ranges"].items()}


def run(program: ExportedProgram, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits ``float32[n, K, ...]`` of inputs ``float32[n, C, *spatial]``, one image at a time (static shapes)."""
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
    """Scale, zero point, least and greatest integer for a range; zero is always exact.

    The zero point is rounded and the range widened by what that takes, not shifted. Shifted, images in [-1, 1] of
    256 levels would fall half-way between two steps each, where every runtime rounds in its own way.
    """
    least, greatest = (0, 255) if unsigned else (-128, 127)
    if symmetric:
        return max(-span[0], span[1], 127 * 2.0**-24) / 127.0, least + 128, least, greatest
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    # Steps below zero, a fraction; 255 at most, which the division alone may miss by its rounding.
    below = min(-low / max((high - low) / 255.0, 2.0**-24), 255.0)
    found = []
    for nearest in {math.floor(below), math.ceil(below)}:
        # A side that is next to nothing beside the other still needs a step.
        steps = min(max(nearest, int(low < 0)), 255 - int(high > 0))
        sides = [(-low, steps), (high, 255 - steps)]
        if all(count or not side for side, count in sides):
            scale = max([side / count for side, count in sides if count] + [2.0**-24])
            found.append((scale, least + steps))
    return (*min(found), least, greatest)


def weight_scales(weight: torch.Tensor, granularity: Weights = "per_channel") -> torch.Tensor:
    """Symmetric scale of each output channel (axis 0), ``float32[channels]``; of the layer, ``float32[1]``.

    A channel whose weights are next to nothing gets no scale of its own: in its tiny unit the bias would not fit
    the INT32 that kernels keep it in.
    """
    sizes = weight.detach().abs().flatten(1).amax(dim=1)
    if granularity == "per_tensor":
        sizes = sizes.amax(dim=0, keepdim=True)
    return sizes.clamp(min=2.0**-24).maximum(sizes.max() * _LEAST_CHANNEL) / 127.0


def insert(
    graph: GraphModule,
    ranges: dict[str, Range],
    style: Style,
    keep_float: tuple[str, ...] = (),
    scheme: Scheme = DEFAULT,
) -> GraphModule:
    """Place Q/DQ nodes in ``graph``, in place.

    Raises:
        InputError: a tensor that must be quantized has no range (other version of torch or of the network).
    """
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the quantized_decomposed operators

    layers = placement.compute_nodes(graph, keep_float)
    chosen = placement.tensors(graph, style, keep_float)
    if not style.linear_output:
        layers = [part for layer in layers for part in rewrites.parts(graph, layer, chosen)]
    nodes = {node.name: node for node in graph.graph.nodes}
    absent = sorted({root for root in chosen.values() if root not in ranges})
    if absent:
        raise no_range(absent)
    ops = torch.ops.quantized_decomposed
    dtype = torch.uint8 if style.unsigned else torch.int8
    for name, root in chosen.items():
        symmetric = style.symmetric or scheme.symmetric(ranges[root])
        arguments = (*activation_parameters(ranges[root], style.unsigned, symmetric), dtype)
        node = nodes[name]
        source: Any = node.args[0] if node.args else None
        if style.fences and placement.operator(node) == "max_pool2d" and source.name not in chosen:
            node = rewrites.fence_pool(graph, node)
        _behind(
            graph,
            node,
            ops.quantize_per_tensor.default,
            ops.dequantize_per_tensor.default,
            arguments,
            style.own_dequantize,
        )
    for index, node in enumerate(layers):
        _quantize_weight(graph, node, index, style.fold_weights, scheme.weights)
        if style.bias_apart and placement.fused_end(node).name not in chosen:
            rewrites.bias_apart(graph, node, index)
    if style.fences:
        # Only layers kept in float have a constant weight left.
        for index, node in enumerate(placement.compute_nodes(graph)):
            if rewrites.between_int8(node):
                rewrites.fence_layer(graph, node, index)
    graph.graph.lint()
    graph.recompile()
    return graph


def no_range(tensors: list[str]) -> InputError:
    """The error of ranges that do not fit the graph."""
    return InputError(
        f"no activation range for {len(tensors)} tensors of the graph, such as '{tensors[0]}'",
        remedy="quantize again: the ranges were made for another network or another version of torch",
    )


def _behind(
    graph: GraphModule,
    node: Node,
    quantize: Any,
    dequantize: Any,
    arguments: tuple[Any, ...],
    for_each_reader: bool,
) -> None:
    readers = list(node.users)
    with graph.graph.inserting_after(node):
        first = graph.graph.call_function(quantize, (node, *arguments))
    first.meta["val"] = node.meta["val"].to(arguments[-1])
    second = None
    for reader in readers:
        if second is None or for_each_reader:
            with graph.graph.inserting_after(first):
                second = graph.graph.call_function(dequantize, (first, *arguments))
            second.meta["val"] = node.meta["val"]
        reader.replace_input_with(node, second)


def _quantize_weight(graph: GraphModule, node: Node, index: int, fold: bool, granularity: Weights) -> None:
    """Put the layer's weight behind a dequantize node."""
    import torch

    ops = torch.ops.quantized_decomposed
    weight = placement.weight_of(graph, node)
    scales = weight_scales(weight, granularity)
    source: Any = node.args[1]
    names: dict[str, torch.Tensor] = {}
    if fold:
        shape = (-1, *([1] * (weight.ndim - 1)))
        names["int8"] = (weight.detach() / scales.view(shape)).round().clamp(-127, 127).to(torch.int8)
    if granularity == "per_channel":
        names |= {"scales": scales, "zeros": torch.zeros(len(scales), dtype=torch.int64)}
    for name, value in names.items():
        graph.register_buffer(f"_weight_{index}_{name}", value)
    with graph.graph.inserting_before(node):
        attributes = {name: graph.graph.get_attr(f"_weight_{index}_{name}") for name in names}
        if granularity == "per_channel":
            quantize, dequantize = ops.quantize_per_channel.default, ops.dequantize_per_channel.default
            arguments: tuple[Any, ...] = (attributes["scales"], attributes["zeros"], 0, -127, 127, torch.int8)
        else:
            quantize, dequantize = ops.quantize_per_tensor.default, ops.dequantize_per_tensor.default
            arguments = (scales.item(), 0, -127, 127, torch.int8)
        stored = attributes["int8"] if fold else graph.graph.call_function(quantize, (source, *arguments))
        restored = graph.graph.call_function(dequantize, (stored, *arguments))
    node.replace_input_with(source, restored)
    if fold and not source.users:
        graph.graph.erase_node(source)
