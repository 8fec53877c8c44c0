from __future__ import annotations

import pytest
import torch

from edgekit.training.augment import Augmentation, augment


def run(batch: torch.Tensor, *kinds: Augmentation, seed: int = 0) -> torch.Tensor:
    return augment(batch, kinds, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["horizontal_flip", "vertical_flip", "quarter_turn"])
def test_moves_pixels_only(kind: Augmentation) -> None:
    batch = torch.arange(8 * 2 * 4 * 4).float().view(8, 2, 4, 4)
    result = run(batch, kind)
    assert not torch.equal(result, batch)
    for before, after in zip(batch, result, strict=True):
        possible = [before.flip(2), before.flip(1), *(torch.rot90(before, k, (1, 2)) for k in range(4))]
        assert any(torch.equal(after, one) for one in possible)


def test_shift_repeats_the_edge() -> None:
    batch = torch.arange(40.0).expand(6, 1, 20, 40).contiguous()
    result = run(batch, "shift")
    assert result.shape == batch.shape
    assert float((result - batch).abs().max()) <= 4
    assert not torch.equal(result, batch)


def test_intensity_stays_small() -> None:
    batch = torch.ones(6, 1, 4, 4)
    result = run(batch, "intensity")
    assert float((result - batch).abs().max()) <= 0.2
    assert len(set(result[:, 0, 0, 0].tolist())) == 6


def test_nothing_asked_nothing_done() -> None:
    batch = torch.randn(2, 3, 8, 8)
    assert run(batch) is batch
