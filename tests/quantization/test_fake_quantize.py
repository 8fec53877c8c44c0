from __future__ import annotations

import pytest
import torch

from edgekit.quantization import program
from edgekit.quantization.fake_quantize import FakeQuantize, fake_quantize_weight

SPANS = [(0.0, 6.0), (-3.0, 5.0), (-2.0, 0.0), (-0.1, 40.0), (0.0, 0.0)]


def _grid(span: tuple[float, float], symmetric: bool, x: torch.Tensor) -> torch.Tensor:
    scale, zero_point, least, greatest = program.activation_parameters(span, symmetric=symmetric)
    return ((x / scale).round() + zero_point).clamp(least, greatest).sub(zero_point) * scale


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("learn", [False, True])
def test_rounds_as_the_program_and_gives_the_range_back(
    span: tuple[float, float], symmetric: bool, learn: bool
) -> None:
    rounder = FakeQuantize(span, symmetric, learn)
    x = torch.linspace(-7, 50, 1001).view(1, -1)
    torch.testing.assert_close(rounder(x), _grid(span, symmetric, x), rtol=1e-6, atol=0)
    again, before = (program.activation_parameters(one, symmetric=symmetric) for one in (rounder.span(), span))
    assert again[1:] == before[1:]
    assert again[0] == pytest.approx(before[0], rel=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_moved_range_is_given_back_exactly(symmetric: bool) -> None:
    rounder = FakeQuantize((-3.0, 5.0), symmetric, learn=True)
    with torch.no_grad():
        for parameter in rounder.parameters():
            parameter.fill_(0.03)
    scale, zero_point, _, _ = program.activation_parameters(rounder.span(), symmetric=symmetric)
    assert scale == rounder.scale().item()
    assert zero_point == rounder.zero_point().round().item()
    assert (zero_point == 0) == symmetric
    x = torch.linspace(-9, 9, 1001).view(1, -1)
    torch.testing.assert_close(rounder(x), _grid(rounder.span(), symmetric, x), rtol=1e-5, atol=0)


def test_the_gradient_goes_straight_through_inside_the_range_and_widens_it_from_outside() -> None:
    rounder = FakeQuantize((0.0, 2.0), symmetric=False, learn=True)
    x = torch.tensor([[-1.0, 0.5, 1.9, 5.0]], requires_grad=True)
    # The loss falls when the clipped value 5 comes out larger.
    torch.autograd.backward(-rounder(x)[0, 3])
    assert rounder.growth.grad is not None
    assert rounder.growth.grad.item() < 0
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0, 0, 0]]
    x.grad = None
    torch.autograd.backward(rounder(x).sum())
    assert torch.equal(torch.as_tensor(x.grad), torch.tensor([[0.0, 1.0, 1.0, 0.0]]))


def test_a_range_that_begins_at_zero_keeps_its_zero_point() -> None:
    assert not FakeQuantize((0.0, 2.0), symmetric=False, learn=True).moves
    assert FakeQuantize((-1.0, 2.0), symmetric=False, learn=True).moves
    assert not list(FakeQuantize((-1.0, 2.0), symmetric=False, learn=False).parameters())


def test_weights_are_rounded_by_channel_or_by_layer() -> None:
    weight = torch.tensor([[1.0, 0.3], [100.0, 30.1]], requires_grad=True)
    by_channel = fake_quantize_weight(weight, "per_channel")
    torch.testing.assert_close(by_channel[0], torch.tensor([1.0, round(0.3 * 127) / 127]))
    by_layer = fake_quantize_weight(weight, "per_tensor")
    assert by_layer[0].tolist() == pytest.approx([100 / 127, 0.0])
    assert torch.equal(by_layer[1], by_channel[1])
    torch.autograd.backward(by_layer.sum())
    assert weight.grad is not None
    assert bool((weight.grad == 1).all())
