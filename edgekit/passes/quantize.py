"""INT8 post-training quantization: activation ranges and corrected biases from a few training images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edgekit.model import Model
from edgekit.passes.base import Context, Outcome, PassConfig, PassError


class Quantize(PassConfig):
    """Post-training quantization (PTQ): ranges from training images, never from validation or test images."""

    not_after: ClassVar[dict[str, str]] = {"quantize": "the model is quantized already"}
    quantizes: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = ("passes/quantize.py", "quantization")

    kind: Literal["quantize"] = "quantize"
    images: int = Field(default=64, ge=8, le=10_000, description="training images that the ranges are taken from")
    seed: int = Field(default=0, ge=0, description="of the draw of those images")
    keep_float: tuple[str, ...] = Field(
        default=(), description="layers that stay in float, by their name in the network's state_dict"
    )
    bias_correction: bool = Field(default=True, description="keep each channel's mean as it was in float")

    def apply(self, model: Model, context: Context) -> Outcome:
        """See ``PassConfig``."""
        import difflib
        from dataclasses import replace

        import numpy as np
        import torch

        from edgekit.quantization import calibration, placement, program

        graph = program.float_graph(model)
        nodes = placement.compute_nodes(graph)
        names = [placement.layer_name(node) for node in nodes]
        for name in self.keep_float:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=3)
                raise PassError(
                    f"keep_float names '{name}', which is no convolution or linear layer of this network",
                    remedy=f"nearest: {', '.join(near) or names[0]}",
                )
        chosen = [name for name in names if name not in self.keep_float]
        if not chosen:
            raise PassError("no layer is left to quantize", remedy="name fewer layers in keep_float")
        available = context.data.count("train")
        count = min(self.images, available)
        drawn = np.sort(np.random.default_rng(self.seed).choice(available, count, replace=False))
        images = torch.from_numpy(context.data.inputs("train", drawn))
        torch.set_num_threads(context.threads)
        spans = calibration.ranges(graph, [image[None] for image in images], context.progress)
        copy = model.copy()
        corrected = 0
        if self.bias_correction:
            # More images than these move the means by less than the rounding of a bias.
            deltas = calibration.correct_biases(graph, spans, self.keep_float, images[:16])
            state = dict(copy.network.named_parameters())
            for name, delta in deltas.items():
                state[f"{name}.bias"].data += torch.from_numpy(delta)
            corrected = len(deltas)
        used = set(placement.tensors(program.float_graph(model), placement.EVERYTHING, self.keep_float).values())
        quantization = {
            "ranges": {name: list(span) for name, span in spans.items() if name in used},
            "keep_float": list(self.keep_float),
        }
        changes = {
            "method": "PTQ",
            "calibration": {
                "split": "train",
                "images": count,
                "seed": self.seed,
                "drawn": "uniformly without replacement",
                "ranges": "least squared error over a histogram, per tensor",
            },
            "weights": "INT8, symmetric, per output channel",
            "activations": "8 bit, asymmetric, per tensor (symmetric for TensorRT)",
            "layers_quantized": len(chosen),
            "layers_kept_float": list(self.keep_float),
            "biases_corrected": corrected,
        }
        return Outcome(replace(copy, quantization=quantization), changes)
