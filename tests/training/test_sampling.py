from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.passes.base import PassError
from edgekit.training.sampling import Batches, class_weights
from edgekit.training.settings import Training

LABELS = np.repeat(np.arange(3), (70, 25, 5))


def epoch(
    settings: Training, devices: int = 1, seed: int = 0
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    batches = Batches(settings, LABELS, devices, "finetune")
    return list(batches.epoch(torch.Generator().manual_seed(seed)))


def test_an_epoch_has_each_image_once() -> None:
    batches = epoch(Training(batch_size=33))
    assert [len(one) for one in batches] == [25, 25, 25, 25]
    assert sorted(np.concatenate(batches)) == list(range(100))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(epoch(Training(batch_size=33), seed=1)))


def test_devices_share_a_batch_without_overlap() -> None:
    for batch in epoch(Training(batch_size=16, devices=4), devices=4):
        parts = np.array_split(batch, 4)
        assert min(map(len, parts)) >= 2, "BatchNorm cannot train on one image"
        assert sorted(np.concatenate(parts)) == sorted(batch)


def test_class_balanced_sampling() -> None:
    config = Training(batch_size=50, sampling="class_balanced", class_weighting="none")
    drawn = np.concatenate([np.concatenate(epoch(config, seed=seed)) for seed in range(30)])
    shares = np.bincount(LABELS[drawn]) / len(drawn)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
    assert len(np.concatenate(epoch(config))) == 100


def test_too_few_images() -> None:
    with pytest.raises(PassError, match="1 training image is too few"):
        Batches(Training(), LABELS[:1], 1, "finetune")
    with pytest.raises(PassError, match="3 training images are too few"):
        Batches(Training(), LABELS[:3], 2, "finetune")
    assert Batches(Training(batch_size=2), LABELS[:3], 1, "finetune").count == 1


def test_class_weights() -> None:
    labels = np.array([0, 0, 0, 1], dtype=np.int64)
    names = ("a", "b")
    assert class_weights(Training(), labels, names) == pytest.approx([4 / 6, 2.0])
    assert class_weights(Training(class_weighting="sqrt_balanced"), labels, names) == pytest.approx(
        [(4 / 6) ** 0.5, 2.0**0.5]
    )
    assert class_weights(Training(class_weighting="none"), labels, names) == [1.0, 1.0]
    with pytest.raises(PassError, match="no training image of: c"):
        class_weights(Training(), labels, ("a", "b", "c"))
