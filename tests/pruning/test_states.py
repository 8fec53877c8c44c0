from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.pruning import states
from edgekit.zoo.mamba import Mamba
from edgekit.zoo.ss2d import SS2D


class Tokens(nn.Module):
    """Mamba on the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.mamba = Mamba(8, d_state=6)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.mamba(image.flatten(2).transpose(1, 2))
        return out


class Image(nn.Module):
    """SS2D on an image."""

    def __init__(self) -> None:
        super().__init__()
        self.ss2d = SS2D(8, d_state=6)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.ss2d(image.permute(0, 2, 3, 1))
        return out


@pytest.fixture(params=[Tokens, Image])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = request.param().eval()
    return made


@pytest.fixture
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(3, 8, 5, 4)).astype(np.float32)


def _silence(network: nn.Module, directions: int, dead: dict[int, list[int]]) -> None:
    """No weight reads the states ``dead`` of each direction: their rows of C are 0."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, Mamba):
                rank, count, _ = layer.splits
                layer.x_proj.weight[[rank + count + n for n in dead[0]]] = 0
            if isinstance(layer, SS2D):
                rank, count, _ = layer.splits
                for k in range(directions):
                    layer.x_proj_weight[k, [rank + count + n for n in dead[k]]] = 0


def test_states_that_nothing_reads_are_found_and_taken_without_a_trace(
    network: nn.Module, images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    name, count = next(iter(states.layers(network).items()))
    directions = 4 if name == "ss2d" else 1
    dead = {k: [k % 3, 3 + k % 2] for k in range(directions)}
    _silence(network, directions, dead)

    scores = states.energy(network, images, 2)[name]
    kept = states.best(scores, 4)
    for k in range(directions):
        assert set(range(count)) - set(kept[k]) == set(dead[k])
        assert (scores[k, dead[k]] == 0).all()

    smaller = states.without(network, {name: kept})
    assert states.layers(smaller) == {name: 4}
    with torch.no_grad():
        before, after = network(torch.from_numpy(images)), smaller(torch.from_numpy(images))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in network.parameters())


def test_energy_does_not_depend_on_the_batch(
    network: nn.Module, images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    one, all_at_once = states.energy(network, images, 1), states.energy(network, images, 3)
    for name, scores in one.items():
        np.testing.assert_allclose(scores, all_at_once[name], rtol=1e-5)
        assert (scores > 0).all()


def test_the_network_given_stays_as_it_is(network: nn.Module) -> None:
    name = next(iter(states.layers(network)))
    directions = 4 if name == "ss2d" else 1
    before = {key: one.clone() for key, one in network.state_dict().items()}
    states.without(network, {name: np.tile(np.arange(2), (directions, 1))})
    assert states.layers(network) == {name: 6}
    assert all(torch.equal(one, before[key]) for key, one in network.state_dict().items())
