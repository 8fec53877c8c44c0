"""A quantized model as a network that takes batches and can be trained: the Q/DQ nodes are fake quantization."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit import model as models
from edgekit.errors import InputError
from edgekit.quantization import placement, program
from edgekit.quantization.fake_quantize import FakeQuantize, fake_quantize_bias, fake_quantize_weight
from edgekit.quantization.placement import PORTABLE, Style
from edgekit.quantization.scheme import Scheme
from edgekit.training.layout import BLOCK

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from edgekit.model import Model

_RANGES = "fake_quantize"


class FakeQuantized(nn.Module):
    """Computes what the quantized program of the same style does, up to the order of floating-point sums.

    The network is traced in eval mode, so dropout is gone and BatchNorm that is left uses its stored statistics.
    It works on batches of one size; others are cut or filled up.
    """

    def __init__(self, model: Model, style: Style, batch: int, learn_ranges: bool = False) -> None:
        """
        Args:
            model: quantized; its network is copied.
            style: where tensors are quantized. Activations are rounded to the same grid whether signed or not.
            batch: images that run at once.
            learn_ranges: whether training moves the ranges of activations.

        Raises:
            InputError: the model is not quantized, its ranges do not fit its graph, or the network is another one
                for a batch than for one image.
        """
        super().__init__()
        quantization = model.quantization
        if quantization is None:
            raise InputError("the model has no quantization ranges", remedy="add a 'quantize' pass")
        keep_float, scheme = tuple(quantization["keep_float"]), Scheme.of(quantization)
        traced = program.float_graph(model.copy(), batch)
        chosen = placement.tensors(traced, style, keep_float)
        if chosen != placement.tensors(program.float_graph(model), style, keep_float):
            raise InputError(
                f"the network is traced in another way for {batch} images than for one, so the ranges of its "
                "activations cannot be told apart",
                remedy="leave out 'qat' and use 'quantize'",
            )
        ranges = program.stored_ranges(quantization)
        absent = sorted(set(chosen.values()) - set(ranges))
        if absent:
            raise program.no_range(absent)
        nodes = {node.name: node for node in traced.graph.nodes}
        layers = placement.compute_nodes(traced, keep_float)
        sources = {node: chosen.get(str(node.args[0])) for node in layers}
        for root in sorted(set(chosen.values())):
            symmetric = style.symmetric or scheme.symmetric(ranges[root])
            traced.add_submodule(f"{_RANGES}.{root}", FakeQuantize(ranges[root], symmetric, learn_ranges))
        for name, root in chosen.items():
            # What only moves values keeps them rounded; padding may bring new ones.
            if name == root or placement.operator(nodes[name]) == "pad":
                _round(traced, nodes[name], f"{_RANGES}.{root}")
        for node, source in sources.items():
            _round_parameters(traced, node, f"{_RANGES}.{source}" if source else None, scheme)
        _make_fit_for_training(traced)
        # A new module over the same graph: that of torch.export refuses train() and eval().
        self.graph = torch.fx.GraphModule(traced, traced.graph)
        self.batch = batch

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``float32[n, K, ...]`` of inputs ``float32[n, C, *spatial]``."""
        rows = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            lacking = self.batch - len(part)
            # Real images: their rows are dropped, and no gradient of theirs can be infinite.
            full = torch.cat([part, part[-1:].expand(lacking, *part.shape[1:])]) if lacking else part
            rows.append(self.graph(full)[: len(part)])
        return torch.cat(rows) if len(rows) > 1 else rows[0]

    def weights(self) -> dict[str, Tensor]:
        """The network's own parameters by their name in its state dict."""
        every = self.graph.named_parameters(remove_duplicate=False)
        return {name: one for name, one in every if not name.startswith(f"{_RANGES}.")}

    def ranges(self) -> dict[str, program.Range]:
        """The ranges of the activations that this style quantizes, as ``Model.quantization`` holds them."""
        prefix = f"{_RANGES}."
        found = {name: one for name, one in self.graph.named_modules() if isinstance(one, FakeQuantize)}
        return {name.removeprefix(prefix): one.span() for name, one in found.items()}


def running(model: Model, batch: int, style: Style = PORTABLE) -> Model:
    """``model`` with its fake-quantized network in place of its own: the reference of its exported INT8 artifacts.

    The same as ``program.run`` of the quantized program up to rounding, and faster.

    Args:
        model: quantized.
        batch: images that run at once, where the network can be traced for them.
        style: where tensors are quantized.

    Raises:
        InputError: the model is not quantized, or its ranges do not fit its graph.
    """
    try:
        network = FakeQuantized(model, style, max(1, batch))
    except InputError:
        # Few networks are traced otherwise for a batch; what else is wrong shows again here.
        network = FakeQuantized(model, style, 1)
    return replace(model, network=network)


def logits(
    model: Model, inputs: NDArray[np.float32], style: Style = PORTABLE, batch: int | None = None
) -> NDArray[np.float32]:
    """Logits ``float32[n, *output_size]`` of the fake-quantized model; see ``running``.

    Raises:
        InputError: see there; or a logit is not finite.
    """
    batch = min(batch or model.at_once, len(inputs))
    return models.logits(running(model, batch, style), inputs, batch)


def _round(graph: GraphModule, node: Node, module: str) -> None:
    readers = list(node.users)
    with graph.graph.inserting_after(node):
        rounded = graph.graph.call_module(module, (node,))
    for reader in readers:
        reader.replace_input_with(node, rounded)


def _round_parameters(graph: GraphModule, node: Node, source: str | None, scheme: Scheme) -> None:
    """Round a layer's weight; and its bias, where the layer reads the rounded tensor of the module ``source``."""
    weight: Any = node.args[1]
    bias: Any = node.args[2] if len(node.args) > 2 else None
    with graph.graph.inserting_before(node):
        if source is not None and getattr(bias, "op", "") == "get_attr":
            module = graph.graph.get_attr(source)
            arguments = (bias, weight, module, scheme.weights)
            node.update_arg(2, graph.graph.call_function(fake_quantize_bias, arguments))
        node.update_arg(1, graph.graph.call_function(fake_quantize_weight, (weight, scheme.weights)))


def _make_fit_for_training(graph: GraphModule) -> None:
    """Change what a graph traced on contiguous images cannot do in channels-last, which trains faster."""
    # A plain function of one tensor: that of torch.export packs and unpacks nested arguments.
    graph.graph.set_codegen(torch.fx.graph.CodeGen())
    output = graph.graph.output_node()
    output.args = tuple(output.all_input_nodes)
    aten = torch.ops.aten
    for node in list(graph.graph.nodes):
        if node.target == aten.view.default:
            node.target = aten.reshape.default
        elif node.target == aten.conv2d.default and _miscomputed(graph, node):
            strides = node.args[3]
            with graph.graph.inserting_before(node):
                taken = graph.graph.call_function(_take_every, (node.args[0], *strides))
            node.update_arg(0, taken)
            node.update_arg(3, [1, 1])
        elif node.target == aten.group_norm.default:
            # As ``training.layout`` does for layers.
            with graph.graph.inserting_before(node):
                rows = graph.graph.call_function(aten.contiguous.default, (node.args[0],))
            node.update_arg(0, rows)


def _miscomputed(graph: GraphModule, node: Node) -> bool:
    """Whether ``training.layout`` would have changed this convolution, and why: see there."""
    arguments: dict[str, Any] = dict(zip(("stride", "padding"), node.args[3:5], strict=False))
    weight: Any = node.args[1]
    if weight.target is fake_quantize_weight:
        weight = weight.args[0]
    if weight.op != "get_attr" or max(arguments.get("stride", [1])) == 1:
        return False
    shape = graph.get_parameter(weight.target).shape
    return shape[1] < BLOCK and max(shape[2:]) == 1 and not any(arguments.get("padding", [0]))


def _take_every(x: Tensor, rows: int, columns: int) -> Tensor:
    return x[:, :, ::rows, ::columns]
