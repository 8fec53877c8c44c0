"""How finely a model is quantized: the granularity of its weights and the symmetry of its activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Weights = Literal["per_channel", "per_tensor"]
Activations = Literal["asymmetric", "symmetric"]


@dataclass(frozen=True)
class Scheme:
    """What the recipe asked for; it holds in every runtime.

    Attributes:
        weights: one scale an output channel, or one a layer. Symmetric INT8 either way.
        activations: a zero point that fits the range, or zero in the middle of the 8 bits. One scale a tensor
            either way. TensorRT is always given symmetric ones. With them ONNX Runtime runs the convolutions
            before a ReLU in float, which its artifacts say.
    """

    weights: Weights = "per_channel"
    activations: Activations = "asymmetric"

    @property
    def symmetric(self) -> bool:
        """Whether activations are symmetric."""
        return self.activations == "symmetric"

    @classmethod
    def of(cls, quantization: dict[str, Any]) -> Scheme:
        """The scheme of a quantized model; models saved before there was a choice have the default."""
        return cls(quantization.get("weights", "per_channel"), quantization.get("activations", "asymmetric"))

    def described(self) -> dict[str, str]:
        """``weights`` and ``activations`` in words, for reports."""
        granularity = {"per_channel": "per output channel", "per_tensor": "one scale a layer"}[self.weights]
        both = " (symmetric for TensorRT)" if self.activations == "asymmetric" else ""
        return {
            "weights": f"INT8, symmetric, {granularity}",
            "activations": f"8 bit, {self.activations}, per tensor{both}",
        }


DEFAULT = Scheme()
