"""Find the ranges of activations on real images, and correct the biases for what rounding shifts.

Ranges minimise the squared error of the quantized values over a histogram. Bias correction follows Nagel et
al. 2019 (Data-Free Quantization, section 4.2), with measured means: after quantization each channel of each
layer keeps the mean that it had in float, layer after layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.quantization import placement, program
from edgekit.quantization.placement import PORTABLE
from edgekit.quantization.program import Range
from edgekit.quantization.scheme import DEFAULT, Scheme

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

BINS = 2048
#: Values taken from one tensor of one image, evenly spaced; the extremes are always kept.
_SAMPLED = 1 << 15


def ranges(
    graph: GraphModule,
    images: Sequence[torch.Tensor],
    progress: Callable[[float, str], None],
    scheme: Scheme = DEFAULT,
) -> dict[str, Range]:
    """The range of every tensor that some placement may quantize.

    Args:
        graph: the float graph.
        images: inputs ``float32[1, C, *spatial]``.
        progress: called with the fraction done and a short text.
        scheme: symmetric activations or not.

    Raises:
        InputError: an activation is not finite.
    """
    wanted = {
        node.name
        for node in graph.graph.nodes
        if placement.is_float_tensor(node) and node.op in ("call_function", "placeholder")
    }
    extremes: dict[str, tuple[float, float]] = {}

    def widen(name: str, value: torch.Tensor) -> None:
        low, high = (float(v) for v in value.aminmax())
        if not np.isfinite([low, high]).all():
            raise InputError(
                f"the activation '{name}' is not finite on a calibration image", remedy="train the model again"
            )
        before = extremes.get(name, (low, high))
        extremes[name] = (min(before[0], low), max(before[1], high))

    _watch(graph, images, wanted, widen, lambda done: progress(done / 2, "calibration: extremes"))
    counts: dict[str, NDArray[np.float64]] = {name: np.zeros(BINS) for name in extremes}

    def count(name: str, value: torch.Tensor) -> None:
        low, high = extremes[name]
        if high <= low:
            return
        flat = value.flatten()
        flat = flat[:: max(1, len(flat) // _SAMPLED)]
        counts[name] += flat.histc(BINS, min=low, max=high).double().numpy()

    _watch(graph, images, wanted, count, lambda done: progress(0.5 + done / 2, "calibration: histograms"))
    return {name: best_range(counts[name], *span, scheme.symmetric(span)) for name, span in extremes.items()}


def best_range(histogram: NDArray[np.float64], low: float, high: float, symmetric: bool = False) -> Range:
    """The part of [low, high] whose 256 levels give the least squared error over ``histogram``."""
    if high <= low or histogram.sum() == 0:
        return (min(low, 0.0), max(high, 0.0))
    centres = low + (np.arange(len(histogram)) + 0.5) * (high - low) / len(histogram)
    best, least = (low, high), np.inf
    for part in np.linspace(1.0, 0.2, 41):
        span = (min(low * part, 0.0), max(high * part, 0.0))
        scale, zero_point, minimum, maximum = program.activation_parameters(span, symmetric=symmetric)
        levels = np.clip(np.round(centres / scale) + zero_point, minimum, maximum)
        error = float((histogram * ((levels - zero_point) * scale - centres) ** 2).sum())
        if error < least:
            best, least = span, error
    return best


def correct_biases(
    graph: GraphModule,
    spans: dict[str, Range],
    keep_float: tuple[str, ...],
    batch: torch.Tensor,
    scheme: Scheme = DEFAULT,
) -> dict[str, NDArray[np.float32]]:
    """What to add to the bias of each layer, by the layer's name.

    Args:
        graph: the float graph; it is changed into the quantized one.
        spans: from ``ranges``.
        keep_float: layers that are not quantized.
        batch: inputs ``float32[N, C, *spatial]``; images are run one by one and averaged.
        scheme: as the model will be quantized.
    """
    import torch

    layers = {n.name: n for n in placement.compute_nodes(graph, keep_float) if len(n.args) > 2 and n.args[2]}
    float_means: dict[str, torch.Tensor] = {}

    def gather(name: str, value: torch.Tensor) -> None:
        axes = [a for a in range(value.ndim) if a != _channel_axis(layers[name], value)]
        mean = value.double().mean(dim=axes) / len(batch)
        float_means[name] = float_means[name] + mean if name in float_means else mean

    singles = [one[None] for one in batch]
    _watch(graph, singles, set(layers), gather, lambda done: None)
    names = {name: placement.layer_name(node) for name, node in layers.items()}
    program.insert(graph, spans, PORTABLE, keep_float, scheme)
    corrections: dict[str, NDArray[np.float32]] = {}
    # Node by node over all images at once, so that each layer sees its predecessors corrected.
    values: list[dict[Any, Any]] = [{} for _ in singles]
    last_use: dict[Any, list[Any]] = {}
    seen: set[Any] = set()
    for node in reversed(graph.graph.nodes):
        for used in node.all_input_nodes:
            if used not in seen:
                seen.add(used)
                last_use.setdefault(node, []).append(used)
    interpreter = torch.fx.Interpreter(graph)
    with torch.no_grad():
        for node in graph.graph.nodes:
            if node.op == "output":
                break
            if node.op == "placeholder":
                for store, image in zip(values, singles, strict=True):
                    store[node] = image
                continue
            if node.op == "get_attr":
                constant = interpreter.fetch_attr(str(node.target))
                for store in values:
                    store[node] = constant
                continue
            for store in values:
                interpreter.env = store
                arguments, keywords = interpreter.fetch_args_kwargs_from_env(node)
                store[node] = getattr(interpreter, node.op)(node.target, arguments, keywords)
            if node.name in names:
                axis = _channel_axis(node, values[0][node])
                axes = [a for a in range(values[0][node].ndim) if a != axis]
                mean = torch.stack([store[node].double().mean(dim=axes) for store in values]).mean(dim=0)
                delta = (float_means[node.name] - mean).float()
                shape = [-1 if a == axis else 1 for a in range(values[0][node].ndim)]
                for store in values:
                    store[node] = store[node] + delta.view(shape)
                corrections[names[node.name]] = delta.numpy()
            for used in last_use.get(node, []):
                for store in values:
                    store.pop(used, None)
    return corrections


def _channel_axis(node: Any, value: torch.Tensor) -> int:
    return value.ndim - 1 if placement.operator(node) == "linear" else 1


def _watch(
    graph: GraphModule,
    images: Sequence[torch.Tensor],
    names: set[str],
    see: Callable[[str, torch.Tensor], None],
    progress: Callable[[float], None],
) -> None:
    """Run ``graph`` on every image and show ``see`` the value of each node in ``names``."""
    import torch

    class Watcher(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if n.name in names:
                see(n.name, value)
            return value

    watcher = Watcher(graph)
    with torch.no_grad():
        for index, image in enumerate(images):
            watcher.run(image)
            progress((index + 1) / len(images))
