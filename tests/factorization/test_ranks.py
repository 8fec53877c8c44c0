from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import counts
from edgekit.factorization import factors, ranks
from edgekit.factorization.candidates import Candidate


def options_of(layer: nn.Module, multiple: int, positions: tuple[int, int]) -> ranks.Options:
    method, weight = factors.method_of(layer), layer.get_parameter("weight")
    assert method is not None
    return ranks.options(Candidate("layer", method, tuple(weight.shape), *positions), weight, multiple)


def test_costs_are_those_of_the_factors() -> None:
    layer = nn.Conv2d(12, 20, 3, stride=2, padding=1)
    options = options_of(layer, 4, (64, 16))
    assert options.macs_before == counts.macs(layer, (12, 8, 8))
    assert {tuple(one) for one in options.ranks.tolist()} == {
        (i, o) for i in (4, 8, 12) for o in (4, 8, 12, 16, 20)
    }
    for pair, macs in zip(options.ranks.tolist(), options.macs, strict=True):
        assert macs == counts.macs(factors.empty(layer, pair), (12, 8, 8))


def test_what_is_lost_is_what_the_factors_lose() -> None:
    torch.manual_seed(0)
    options = options_of(nn.Conv2d(12, 20, 1), 4, (1, 1))
    assert options.ranks.ravel().tolist() == [4, 8, 12]
    torch.manual_seed(0)
    layer = nn.Conv2d(12, 20, 1)
    errors = [factors.filled(layer, (rank,))[1] for rank in (4, 8, 12)]
    assert np.square(errors) == pytest.approx(options.lost, abs=1e-12)
    assert options.lost[-1] == 0


@pytest.mark.parametrize("energy", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("layer", [nn.Conv2d(16, 24, 3), nn.Linear(40, 24)])
def test_the_energy_asked_for_is_kept(layer: nn.Module, energy: float) -> None:
    choice = options_of(layer, 4, (9, 9)).for_energy(energy)
    _, error = factors.filled(layer, choice.ranks)
    assert 1 - error**2 >= energy


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_the_ratio_is_a_limit(ratio: float) -> None:
    options = options_of(nn.Conv2d(16, 24, 3), 2, (9, 9))
    choice = options.for_ratio(ratio)
    assert choice is not None
    assert choice.macs <= ratio * options.macs_before
    fits = options.macs <= ratio * options.macs_before
    lost = options.lost[(options.ranks == choice.ranks).all(1)]
    assert lost == options.lost[fits].min()


def test_layers_that_do_not_pay_are_left() -> None:
    every = [options_of(nn.Linear(16, 16), 8, (1, 1))]
    assert ranks.for_energy(every, 0.1) == (
        {},
        {
            "layer": "it does not pay: to keep 0.1 of its energy takes rank 8, which costs 100% of its MACs "
            "(less than 75% pays)"
        },
    )
    chosen, left = ranks.for_ratio(every, 0.5)
    assert chosen == {}
    assert left == {"layer": "it does not pay: the lowest allowed rank, 8, costs 100% of its MACs"}


def test_factors_that_save_too_little_are_left() -> None:
    torch.manual_seed(0)
    every = [options_of(nn.Conv2d(64, 64, 3), 8, (64, 64))]
    for energy in np.linspace(0.05, 0.95, 19):
        chosen, left = ranks.for_energy(every, energy)
        share = every[0].for_energy(energy).macs / every[0].macs_before
        assert set(chosen if share < ranks.PAYS_BELOW else left) == {"layer"}
        assert len(chosen) + len(left) == 1


def test_narrow_layer_has_its_full_rank_only() -> None:
    assert options_of(nn.Linear(40, 6), 8, (1, 1)).ranks.tolist() == [[6]]
