"""From a trained fake-quantized network back to a model: its weights, and a range for every tensor."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from edgekit.quantization import calibration, program
from edgekit.quantization.biases import round_biases
from edgekit.quantization.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.model import Model
    from edgekit.quantization.training_program import FakeQuantized


def finished(start: Model, network: FakeQuantized, images: Tensor) -> Model:
    """``start`` with the weights and ranges of ``network``.

    Args:
        start: the quantized model that ``network`` was made from; stays as it is.
        network: trained.
        images: training inputs ``float32[n, C, *spatial]``. Some runtimes quantize tensors that training left in
            float, such as the logits; the ranges of these are found again, with the trained weights.
    """
    import torch

    from edgekit.model import settle

    quantization: dict[str, Any] = dict(start.quantization or {})
    copy = start.copy()
    with torch.no_grad():
        for name, weight in network.weights().items():
            copy.network.get_parameter(name).copy_(weight)
    settle(copy.network)
    spans = network.ranges()
    if set(quantization["ranges"]) - set(spans):
        graph, scheme = program.float_graph(copy), Scheme.of(quantization)
        spans = (
            calibration.ranges(graph, [image[None] for image in images], lambda part, text: None, scheme) | spans
        )
    quantization["ranges"] = {name: list(spans[name]) for name in quantization["ranges"]}
    quantized = replace(copy, quantization=quantization)
    round_biases(quantized)
    return quantized


def range_changes(start: Model, trained: Model) -> dict[str, float]:
    """How much wider the ranges of activations became: the median factor, the least and the greatest."""
    before = program.stored_ranges(start.quantization or {"ranges": {}})
    after = program.stored_ranges(trained.quantization or {"ranges": {}})
    width = {name: high - low for name, (low, high) in before.items() if high > low}
    factors = [(after[name][1] - after[name][0]) / one for name, one in width.items()]
    return {"median": median(factors), "least": min(factors), "greatest": max(factors)}
