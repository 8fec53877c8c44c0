from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.errors import InputError
from edgekit.model import Model
from edgekit.quantization import calibration, placement, program
from edgekit.quantization.biases import round_biases
from edgekit.quantization.scheme import Activations, Scheme, Weights
from edgekit.quantization.training_program import FakeQuantized, logits
from tests.networks import images, small_model


def assert_same(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Equal up to rounding; where a sum in another order falls on the other side of a step, one step apart."""
    difference = np.abs(given - wanted).max(axis=1)
    assert (difference > 1e-6).sum() <= len(wanted) // 8
    assert difference.max() < 1e-3 * np.abs(wanted).max()


def quantized(model: Model, scheme: Scheme, keep_float: tuple[str, ...] = ()) -> Model:
    batch = images()[:, : model.input_size[0], : model.input_size[1], : model.input_size[2]]
    spans = calibration.ranges(
        program.float_graph(model), [one[None] for one in batch], lambda fraction, text: None, scheme
    )
    ranges = {name: list(span) for name, span in spans.items()}
    quantization = {
        "ranges": ranges,
        "keep_float": list(keep_float),
        "weights": scheme.weights,
        "activations": scheme.activations,
    }
    made = replace(model.copy(), quantization=quantization)
    round_biases(made)
    return made


@pytest.mark.parametrize("weights", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("activations", ["asymmetric", "symmetric", "symmetric_or_unsigned"])
@pytest.mark.parametrize("keep_float", [(), ("stem", "head")])
def test_computes_what_the_program_computes(
    weights: Weights, activations: Activations, keep_float: tuple[str, ...]
) -> None:
    model = quantized(small_model(), Scheme(weights, activations), keep_float)
    inputs = images().numpy()
    for style in (placement.PORTABLE, placement.EVERYTHING, placement.Style("bare", every_output=False)):
        wanted = program.run(program.quantized_program(model, style), inputs)
        for batch in (16, 5):
            assert_same(logits(model, inputs, style, batch), wanted)
        unsigned = program.quantized_program(model, replace(style, unsigned=True, fold_weights=False))
        assert_same(program.run(unsigned, inputs), wanted)


def test_what_is_kept_in_float_is_not_rounded() -> None:
    model = quantized(small_model(), Scheme(), ("stem", "head"))
    network = FakeQuantized(model, placement.PORTABLE, 2)
    rounded = [n for n in network.graph.graph.nodes if "fake_quantize_weight" in str(n.target)]
    assert [node.args[0].target for node in rounded] == ["wide.weight", "narrow.weight", "gated.weight"]


class Awkward(nn.Module):
    """A view, a 1x1 convolution with stride on few channels, BatchNorm that cannot fold, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8 * 2 * 2, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x).relu())
        x = nn.functional.avg_pool2d(self.second(nn.functional.pad(x, (1, 1, 1, 1), value=0.5)), 8)
        x = nn.functional.dropout(x, 0.5, self.training)
        logits: torch.Tensor = self.head(x.view(x.shape[0], -1))
        return logits


def test_trains_in_channels_last_with_right_gradients() -> None:
    torch.manual_seed(0)
    network = Awkward().eval()
    network.norm.running_mean.uniform_()  # type: ignore[union-attr]
    model = quantized(Model("module", {}, 5, (3, 32, 32), "x:y", (), network), Scheme())
    batch = images(7)
    wanted = logits(model, batch.numpy())
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        trainable = FakeQuantized(model, placement.PORTABLE, 4).to(memory_format=layout).train()  # type: ignore[call-overload]
        given = trainable(batch.contiguous(memory_format=layout))
        assert_same(given.detach().numpy(), wanted)
        torch.autograd.backward(given.square().sum())
        gradients.append({name: one.grad for name, one in trainable.weights().items()})
    assert set(gradients[0]) == set(dict(network.named_parameters()))
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5)
    assert all(parameter.grad is None for parameter in model.network.parameters()), "the model itself was trained"


def test_groups_are_normalized_in_channels_first() -> None:
    """PyTorch's own channels-last normalization of groups is inexact on a CPU; see ``training.layout``."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.LazyLinear(5))
    network(torch.zeros(1, *small_model().input_size))
    model = quantized(replace(small_model(), network=network.eval()), Scheme())
    graph = FakeQuantized(model, placement.PORTABLE, 4)
    read = [
        node.args[0].target
        for part in graph.modules()
        if isinstance(part, torch.fx.GraphModule)
        for node in part.graph.nodes
        if node.target == torch.ops.aten.group_norm.default
    ]
    assert read == [torch.ops.aten.contiguous.default]


def test_a_network_that_is_another_one_for_batches_is_refused() -> None:
    class Twofold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.mean((2, 3))
            x = x if len(x) == 1 else self.layer(x).relu() @ self.layer.weight
            logits: torch.Tensor = self.layer(x)
            return logits

    model = quantized(Model("module", {}, 2, (3, 32, 32), "x:y", (), Twofold().eval()), Scheme())
    with pytest.raises(InputError, match="traced in another way for 4 images than for one"):
        FakeQuantized(model, placement.PORTABLE, 4)


def test_a_float_model_is_refused() -> None:
    with pytest.raises(InputError, match="add a 'quantize' pass"):
        FakeQuantized(small_model(), placement.PORTABLE, 4)
