"""Post-training quantization (PTQ): ranges and corrected biases from a few training images."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.passes.base import Context
from edgekit.quantization import calibration, mixed_precision, placement, program
from edgekit.quantization.biases import round_biases
from edgekit.quantization.equalization import equalize
from edgekit.quantization.keep_float import resolve
from edgekit.quantization.partial import copied
from edgekit.quantization.scheme import Scheme
from edgekit.quantization.settings import Calibration

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch.fx import GraphModule

    from edgekit.model import Model

#: More images than these move the means by less than the rounding of a bias. Equalization is checked on as many.
_CORRECTED_ON = 16
#: Of large windows fewer do: as many pixels as 16 images of 512 x 512, whose activations are all held at once.
_CORRECTED_PIXELS = 2**22


def quantize(model: Model, settings: Calibration, context: Context) -> tuple[Model, dict[str, Any]]:
    """A quantized copy of ``model``, and what was done.

    Raises:
        PassError: ``keep_float`` names no layer of the network, or leaves none to quantize; or see ``equalize``.
        InputError: an activation is not finite.
    """
    import torch

    images = draw(settings.images, settings.seed, context)
    few = images[: max(1, min(_CORRECTED_ON, _CORRECTED_PIXELS // math.prod(model.input_size[1:])))]
    torch.set_num_threads(context.threads)
    changes: dict[str, Any] = {}
    if settings.equalizes:
        model, changes = equalize(model, few)
    graph = program.float_graph(model)
    asked = () if settings.keep_float == "auto" else settings.keep_float
    keep_float = resolve(graph, asked)
    share = 0.2 if settings.analyses else 1.0
    spans = calibration.ranges(
        graph,
        [image[None] for image in images],
        lambda done, text: context.progress(done * share, text),
        settings.scheme,
    )

    @functools.cache
    def correct(kept: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        if not settings.bias_correction:
            return {}
        return calibration.correct_biases(copied(graph), spans, kept, few, settings.scheme)

    def build(kept: tuple[str, ...]) -> Model:
        made = model.copy()
        state = dict(made.network.named_parameters())
        for name, delta in correct(kept).items():
            state[f"{name}.bias"].data += torch.from_numpy(delta)
        used = set(placement.tensors(graph, placement.EVERYTHING, kept).values())
        quantization = {
            "ranges": {name: list(span) for name, span in spans.items() if name in used},
            "keep_float": list(kept),
            "weights": settings.weights,
            "activations": settings.activations,
            "calibration": {
                "split": "train",
                "images": len(images),
                "seed": settings.seed,
                "drawn": "uniformly without replacement",
                "ranges": "least squared error over a histogram, per tensor",
            },
        }
        quantized = replace(made, quantization=quantization)
        round_biases(quantized, graph)
        return quantized

    if settings.analyses:
        later = replace(context, progress=lambda done, text: context.progress(share + done * (1 - share), text))
        form = mixed_precision.Forms(model, spans, settings.scheme, build)
        correct_on = few if settings.bias_correction else None
        keep_float, analysed = mixed_precision.examine(form, settings, keep_float, correct_on, later)
        changes |= analysed
    quantized = build(keep_float)
    return quantized, {
        "method": "PTQ",
        **described(quantized),
        "biases_corrected": len(correct(keep_float)),
        **changes,
    }


def described(model: Model) -> dict[str, Any]:
    """How a quantized model is quantized, in the words of a report."""
    quantization = model.quantization or {}
    kept = quantization["keep_float"]
    graph = program.float_graph(model)
    return {
        "calibration": quantization.get("calibration"),
        **Scheme.of(quantization).described(),
        "layers_quantized": len(placement.compute_nodes(graph, tuple(kept))),
        "layers_kept_float": list(kept),
        "layers_never_quantized": never_quantized(model, graph),
    }


def never_quantized(model: Model, graph: GraphModule) -> list[str]:
    """Convolutions and linear layers, by name, that stay in float whatever a recipe asks for.

    Such as transposed convolutions, or layers whose weight is computed.
    """
    from edgekit.passes.layer_names import weighted

    known = {placement.layer_name(node) for node in placement.compute_nodes(graph)}
    return [name for name in weighted(model.network) if name not in known]


def draw(count: int, seed: int, context: Context) -> torch.Tensor:
    """Up to ``count`` training inputs ``float32[n, C, *spatial]``, drawn uniformly."""
    import torch

    return torch.from_numpy(context.data.inputs("train", context.data.drawn("train", count, seed)))
