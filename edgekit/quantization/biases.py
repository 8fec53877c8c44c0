"""Biases that INT8 kernels can add as they are.

Kernels add the bias to an INT32 sum of products, whose unit is the scale of the layer's input times that of its
weight. Some runtimes round the bias to that unit and some do not, and so they would come out on different sides of
a rounding step. A bias that lies on the grid already is the same in all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.quantization import placement, program
from edgekit.quantization.scheme import Scheme

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from edgekit.model import Model


def round_biases(model: Model, graph: GraphModule | None = None) -> None:
    """Move each bias of a quantized model's layers to the nearest multiple of its layer's unit, in place.

    The change is at most half a unit, less than a hundredth of a step of the layer's output as a rule.

    Args:
        model: a quantized model.
        graph: its float graph where there is one already; with the same weights, its biases are not read.
    """
    import torch

    quantization: dict[str, Any] = model.quantization or {}
    keep_float, scheme = tuple(quantization["keep_float"]), Scheme.of(quantization)
    ranges = program.stored_ranges(quantization)
    graph = graph or program.float_graph(model)
    chosen = placement.tensors(graph, placement.EVERYTHING, keep_float)
    biases = dict(model.network.named_parameters(remove_duplicate=False))
    for node in placement.compute_nodes(graph, keep_float):
        bias: Any = node.args[2] if len(node.args) > 2 else None
        source: Any = node.args[0]
        if bias is None or bias.target not in biases or source.name not in chosen:
            continue
        span = ranges[chosen[source.name]]
        scale, *_ = program.activation_parameters(span, symmetric=scheme.symmetric(span))
        unit = scale * program.weight_scales(placement.weight_of(graph, node), scheme.weights)
        with torch.no_grad():
            biases[bias.target].copy_((biases[bias.target] / unit).round() * unit)
