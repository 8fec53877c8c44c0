"""Rounding that training can see through: forward as the quantized program, backward straight through.

Learned step size quantization (LSQ, Esser et al. 2020) and its form with an offset (LSQ+, Bhalgat et al. 2020)
give the gradient of an activation's scale and zero point; the gradient of what is rounded is 1 inside the range
and 0 outside (straight-through estimator).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.quantization import program
from edgekit.quantization.program import Range
from edgekit.quantization.scheme import Weights

#: The scale is its first value times exp(PACE * p) of a learned p. An optimizer such as AdamW moves p by about the
#: learning rate at each step whatever the gradient, so at 1e-4 the scale moves by a thousandth.
PACE = 10.0


class FakeQuantize(nn.Module):
    """Rounds one activation to 8 bits, per tensor.

    The zero point of a range that begins or ends at zero (behind a ReLU) stays: moving it would only waste levels.
    """

    def __init__(self, span: Range, symmetric: bool, learn: bool) -> None:
        """
        Args:
            span: the range to start from.
            symmetric: zero point 0, now and always.
            learn: whether the range is trained.
        """
        super().__init__()
        scale, zero_point, self.least, self.greatest = program.activation_parameters(span, symmetric=symmetric)
        self.symmetric, self.learn = symmetric, learn
        self.register_buffer("first_scale", torch.tensor([scale]))
        self.register_buffer("first_zero_point", torch.tensor([float(zero_point)]))
        if learn:
            self.growth = nn.Parameter(torch.zeros(1))
        self.moves = learn and not symmetric and self.least < zero_point < self.greatest
        if self.moves:
            self.shift = nn.Parameter(torch.zeros(1))

    def scale(self) -> Tensor:
        """``float32[1]``, positive."""
        first: Tensor = self.get_buffer("first_scale")
        return first * (PACE * self.growth).exp() if self.learn else first

    def zero_point(self) -> Tensor:
        """``float32[1]``, not yet rounded when it is learned."""
        first: Tensor = self.get_buffer("first_zero_point")
        if not self.moves:
            return first
        return (first + 255.0 * self.shift).clamp(self.least, self.greatest)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` rounded, of the same shape."""
        if not self.learn:
            zero_point = self.get_buffer("first_zero_point").int()
            return torch.fake_quantize_per_tensor_affine(x, self.scale(), zero_point, self.least, self.greatest)
        # LSQ, section 2.2: keeps the gradient of the scale in proportion to that of the weights.
        factor = (x[0].numel() * self.greatest) ** -0.5
        rounded: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x, self.scale(), self.zero_point(), self.least, self.greatest, factor
        )
        return rounded

    def span(self) -> Range:
        """The range, from which ``activation_parameters`` gives the same scale and zero point again."""
        scale, zero_point = self.scale().item(), round(self.zero_point().item())
        least = -self.greatest if self.symmetric else self.least
        return (least - zero_point) * scale, (self.greatest - zero_point) * scale


def fake_quantize_weight(weight: Tensor, granularity: Weights) -> Tensor:
    """``weight`` rounded to INT8 as ``program.insert`` stores it, with the scales that it has now."""
    scales = program.weight_scales(weight, granularity)
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    if granularity == "per_tensor":
        return torch.fake_quantize_per_tensor_affine(weight, scales, zeros, -127, 127)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -127, 127)


def fake_quantize_bias(bias: Tensor, weight: Tensor, source: FakeQuantize, granularity: Weights) -> Tensor:
    """``bias`` rounded as ``biases.round_biases`` leaves it, for a layer that reads what ``source`` gives."""
    with torch.no_grad():
        unit = source.scale() * program.weight_scales(weight, granularity)
        change = (bias / unit).round() * unit - bias
    return bias + change
