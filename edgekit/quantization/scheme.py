"""How finely a model is quantized: the granularity of its weights and the symmetry of its activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Weights = Literal["per_channel", "per_tensor"]
Activations = Literal["asymmetric", "symmetric", "symmetric_or_unsigned"]


@dataclass(frozen=True)
class Scheme:
    """What the recipe asked for; it holds in every runtime.

    Attributes:
        weights: one scale an output channel, or one a layer. Symmetric INT8 either way.
        activations: a zero point that fits the range; zero in the middle of the 8 bits; or the latter for tensors
            with negative values, and unsigned 8 bits for the others, with which x86 kernels need no correction
            for a zero point. One scale a tensor in each case. TensorRT is always given symmetric ones. With them
            ONNX Runtime runs the convolutions before a ReLU in float, which its artifacts say.
    """

    weights: Weights = "per_channel"
    activations: Activations = "asymmetric"

    def symmetric(self, span: tuple[float, float]) -> bool:
        """Whether a tensor of the range ``span`` is quantized symmetrically."""
        return self.activations == "symmetric" or (self.activations == "symmetric_or_unsigned" and span[0] < 0)

    @classmethod
    def of(cls, quantization: dict[str, Any]) -> Scheme:
        """The scheme of a quantized model; models saved before there was a choice have the default."""
        return cls(quantization.get("weights", "per_channel"), quantization.get("activations", "asymmetric"))

    def described(self) -> dict[str, str]:
        """``weights`` and ``activations`` in words, for reports."""
        granularity = {"per_channel": "per output channel", "per_tensor": "one scale a layer"}[self.weights]
        words = {"symmetric_or_unsigned": "symmetric, unsigned where nothing is negative"}
        both = " (symmetric for TensorRT)" if self.activations == "asymmetric" else ""
        return {
            "weights": f"INT8, symmetric, {granularity}",
            "activations": f"8 bit, {words.get(self.activations, self.activations)}, per tensor{both}",
        }


DEFAULT = Scheme()
