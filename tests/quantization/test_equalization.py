from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.data.prepared import Prepared
from edgekit.model import Model
from edgekit.model import logits as float_logits
from edgekit.passes import Context, Quantize
from edgekit.passes.base import PassError
from edgekit.quantization import equalization
from edgekit.quantization.equalization import Pair, equalize, input_ranges, output_ranges, pairs
from edgekit.quantization.training_program import logits
from tests.networks import images, small_model


class Chain(nn.Sequential):
    """Full, depthwise, pointwise, grouped and linear layers; each channel of a size of its own."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False),
            nn.ReLU(),
            nn.Conv2d(8, 12, 1),
            nn.Conv2d(12, 8, 3, 1, 1, groups=4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 1, groups=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 6),
            nn.ReLU(),
            nn.Linear(6, 5),
        )


CHAIN = [
    Pair("0.weight", "0.bias", "2.weight", 8),
    Pair("2.weight", None, "4.weight", 1),
    Pair("4.weight", "4.bias", "5.weight", 4),
    Pair("5.weight", "5.bias", "8.weight", 2),
    Pair("8.weight", "8.bias", "11.weight", 1),
    Pair("11.weight", "11.bias", "13.weight", 1),
]


def _model(network: nn.Module) -> Model:
    return Model("module", {}, 5, (3, 32, 32), "x:y", (), network.eval())


def _unbalance(model: Model, found: list[Pair]) -> None:
    """Move factors of up to a few hundred between the layers: the function stays as it is."""
    generator = torch.Generator().manual_seed(3)
    state = dict(model.network.named_parameters())
    with torch.no_grad():
        for pair in found:
            first, second = state[pair.first], state[pair.second]
            s = (1.5 * torch.randn(len(first), generator=generator)).exp()
            first.div_(s.view(-1, *[1] * (first.ndim - 1)))
            if pair.bias is not None:
                state[pair.bias].div_(s)
            for out in range(len(second)):  # written out, unlike in the code under test
                width = second.shape[1]
                begin = out // (len(second) // pair.groups) * width
                for one in range(width):
                    second[out, one] *= s[begin + one]


@pytest.fixture
def chain() -> Model:
    torch.manual_seed(0)
    model = _model(Chain())
    for layer in model.network:  # type: ignore[attr-defined]
        if hasattr(layer, "weight"):
            nn.init.kaiming_normal_(layer.weight)  # so that the logits tell images apart
    _unbalance(model, CHAIN)
    return model


def test_pairs_of_a_chain(chain: Model) -> None:
    assert pairs(chain) == CHAIN


def test_ranges_are_equal_and_the_function_is_the_same(chain: Model) -> None:
    state = {name: one.clone() for name, one in chain.network.state_dict().items()}
    made, changes = equalize(chain, images())
    assert changes["equalized"] == len(CHAIN)
    assert changes["equalized_logits_changed_by"] < 1e-5
    with torch.no_grad():
        torch.testing.assert_close(made.network(images()), chain.network(images()), rtol=1e-4, atol=1e-6)
    after = dict(made.network.named_parameters())
    for pair in CHAIN:
        r1, r2 = output_ranges(after[pair.first]), input_ranges(after[pair.second], pair.groups)
        torch.testing.assert_close(r1, r2, rtol=0.01, atol=0.0)
    assert all(torch.equal(one, state[name]) for name, one in chain.network.state_dict().items())


def test_one_scale_a_layer_harms_an_unbalanced_network_less(chain: Model, data: Prepared) -> None:
    inputs = data.inputs("val")
    exact = float_logits(chain, inputs)
    errors = {}
    for equal in (True, False):
        outcome = Quantize(weights="per_tensor", equalize=equal).apply(chain, Context(data))
        errors[equal] = float((logits(outcome.model, inputs) - exact).std() / exact.std(0).mean())
    assert errors[True] < 0.3  # of the spread of the logits between images
    assert errors[False] > 1.0


def test_other_readers_and_other_activations_are_left_alone() -> None:
    # stem is read by the residual sum as well, narrow by it alone, gated by SiLU.
    assert pairs(small_model()) == [Pair("wide.weight", "wide.bias", "narrow.weight", 1)]


@pytest.mark.parametrize("between", [nn.ReLU6(), nn.Hardtanh(), nn.Sigmoid(), nn.BatchNorm2d(8), nn.ZeroPad2d(1)])
def test_what_is_between_two_layers_must_be_homogeneous(between: nn.Module) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), between, nn.Conv2d(8, 4, 3), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model = _model(network)
    assert equalize(model, images()) == (model, {"equalized": 0})


def test_a_flattened_map_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5))
    assert pairs(_model(network)) == []


def test_tied_weights_are_left_alone() -> None:
    one, two, three, four = (nn.Conv2d(width, 8, 1) for width in (3, 8, 8, 8))
    three.weight = two.weight
    network = nn.Sequential(one, two, three, four, four, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    assert pairs(_model(network)) == []


def test_dead_channels_keep_their_weights(chain: Model) -> None:
    first, second = chain.network[0], chain.network[2]  # type: ignore[index]
    with torch.no_grad():
        first.weight[1] = 0.0  # its bias still says something
        second.weight[5] = 0.0
    made = dict(equalize(chain, images())[0].network.named_parameters())
    assert made["0.bias"][1] == first.bias[1]
    assert torch.equal(made["0.weight"][5], first.weight[5])
    assert all(one.isfinite().all() for one in made.values())


def test_a_changed_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Pair("stem.weight", "stem.bias", "wide.weight", 16)]
    monkeypatch.setattr(equalization, "pairs", lambda model: wrong)
    with pytest.raises(PassError, match="equalizing 1 pairs of layers changed the logits"):
        equalize(small_model(), images())


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"weights": "per_tensor"}, 3),
        ({"weights": "per_tensor", "equalize": False}, None),
        ({"weights": "per_channel"}, None),
        ({"weights": "per_channel", "equalize": True}, 3),
    ],
)
def test_only_one_scale_a_layer_asks_for_it(
    settings: dict[str, object], count: int | None, awkward: Model, data: Prepared
) -> None:
    outcome = Quantize(images=8, **settings).apply(awkward, Context(data))
    assert outcome.changes.get("equalized") == count
    stem = outcome.model.network.get_parameter("stem.weight")
    assert torch.equal(stem, awkward.network.get_parameter("stem.weight")) is (count is None)
