from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.pruning.n_to_m import mask, masks, parse, put


@pytest.mark.parametrize("shape", [(3, 8), (5, 8, 3, 3), (4, 12, 1, 1)])
def test_keeps_the_largest_along_the_inputs(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = mask(weight, 2, 4)
    assert found.shape == weight.shape
    blocks = found.movedim(1, -1).reshape(-1, 4)
    assert torch.equal(blocks.sum(1), torch.full((len(blocks),), 2.0))
    sizes = weight.abs().movedim(1, -1).reshape(-1, 4)
    kept, gone = sizes[blocks == 1].reshape(-1, 2), sizes[blocks == 0].reshape(-1, 2)
    assert bool((kept.min(1).values >= gone.max(1).values).all())


def test_equal_weights_still_lose_two_of_four() -> None:
    assert mask(torch.ones(2, 4), 2, 4).sum(1).tolist() == [2.0, 2.0]


def test_layers_that_cannot_have_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1), nn.Linear(8, 2))
    found, left = masks(network, 2, 4, frozenset({"3"}))
    assert set(found) == {"2.weight"}
    assert left == {
        "0": "its 3 inputs are no multiple of 4",
        "1": "its 1 inputs are no multiple of 4",
        "3": "excluded",
    }
    put(network, found)
    assert int((network.get_parameter("2.weight") == 0).sum()) == 32
    assert int((network.get_parameter("0.weight") == 0).sum()) == 0


@pytest.mark.parametrize("text", ["2", "4:2", "0:4", "2:4:8", "a:b", "2:2", "1:64", "-1:4"])
def test_no_n_to_m(text: str) -> None:
    with pytest.raises(ValueError, match="is no N:M"):
        parse(text)
    assert parse("2:4") == (2, 4)
