from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgekit.factorization import factors

CONVOLUTIONS: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
    {"kernel_size": 3, "dilation": 2, "padding": (1, 2)},
    {"kernel_size": (1, 5), "padding": "same"},
    {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 1, "padding": 1},
]


def low_rank(layer: nn.Module, ranks: tuple[int, ...]) -> None:
    """Give ``layer`` a weight that has these ranks, up to float32 rounding."""
    made, _ = factors.filled(layer, ranks)
    with torch.no_grad():
        layer.weight.copy_(factors.product(made).reshape(layer.weight.shape))  # type: ignore[operator, arg-type]


@pytest.mark.parametrize("settings", CONVOLUTIONS)
def test_factors_of_a_low_rank_convolution_give_the_same(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(12, 10, **settings)
    image = torch.randn(2, 12, 9, 11)
    ranks = (3,) if layer.kernel_size == (1, 1) else (4, 5)
    low_rank(layer, ranks)
    made, error = factors.filled(layer, ranks)
    names = ["reduce", "expand"] if len(ranks) == 1 else ["reduce", "core", "expand"]
    assert [name for name, _ in made.named_children()] == names
    assert error < 1e-6
    torch.testing.assert_close(made(image), layer(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("ranks", "names"),
    [((12, 4), ["core", "expand"]), ((4, 10), ["reduce", "core"]), ((12, 10), ["core"])],
)
def test_a_mode_of_full_rank_needs_no_factor(ranks: tuple[int, int], names: list[str]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(12, 10, 3, padding=1)
    low_rank(layer, ranks)
    made, error = factors.filled(layer, ranks)
    assert [name for name, _ in made.named_children()] == names
    assert error < 1e-6
    image = torch.randn(2, 12, 7, 7)
    torch.testing.assert_close(made(image), layer(image), rtol=1e-4, atol=1e-5)


def test_linear_layer_over_tokens() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 9)
    made, error = factors.filled(layer, (6,))
    assert error < 1e-6
    tokens = torch.randn(2, 5, 6)
    torch.testing.assert_close(made(tokens), layer(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Linear(6, 9, bias=False), nn.Conv2d(6, 9, 3), nn.Conv2d(6, 9, 1)])
def test_the_error_is_that_of_the_weight(layer: nn.Module) -> None:
    made, error = factors.filled(layer, (2, 2)[: len(factors.full_ranks(layer))])
    weight = layer.weight.detach().double()  # type: ignore[operator]
    difference = factors.product(made).reshape(weight.shape) - weight
    assert error == pytest.approx(float(difference.norm() / weight.norm()))
    assert 0.1 < error < 1


def test_factors_keep_type_and_mode() -> None:
    made, _ = factors.filled(nn.Conv2d(6, 9, 3).double().eval(), (2, 2))
    assert {one.dtype for one in made.parameters()} == {torch.float64}
    assert not any(part.training for part in made.modules())


@pytest.mark.parametrize("ranks", [(0,), (7,), (2, 2), ()])
def test_ranks_that_do_not_fit(ranks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"full ranks are \[6\]"):
        factors.empty(nn.Linear(6, 9), ranks)


@pytest.mark.parametrize("layer", [nn.Conv2d(6, 6, 3, groups=2), nn.ConvTranspose2d(6, 6, 3), nn.Conv1d(6, 6, 3)])
def test_layers_that_are_not_factorized(layer: nn.Module) -> None:
    assert factors.method_of(layer) is None
    with pytest.raises(ValueError, match=f"a {type(layer).__name__} of this kind"):
        factors.full_ranks(layer)
