from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.data.base import IGNORE
from edgekit.evaluate.figures import figures_of
from edgekit.training.pixel_figures import PixelFigures

CLASSES = ("ground", "vessel", "lesion")


def windows(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (count, 5, 7), generator=generator)
    logits = torch.randn(count, 3, 5, 7, generator=generator)
    logits += 1.5 * torch.nn.functional.one_hot(targets, 3).permute(0, 3, 1, 2)
    targets[torch.rand(targets.shape, generator=generator) < 0.2] = IGNORE
    return logits, targets


def test_parts_add_up_to_the_figures_of_all_pixels() -> None:
    logits, targets = windows()
    found = PixelFigures(3, calibrated=True)
    for start in (0, 2, 4):
        found.add(logits[start : start + 2], targets[start : start + 2])
    counts = targets != IGNORE
    rows, labels = logits.movedim(1, -1)[counts].double().numpy(), targets[counts].numpy()
    wanted, _ = figures_of(rows, labels, CLASSES)
    given = found.figures(CLASSES)
    whole = np.ones((1, len(labels)))
    for name in ("accuracy", "balanced_accuracy", "nll", "ece", *(f"sensitivity/{one}" for one in CLASSES)):
        assert given[name] == pytest.approx(float(wanted[name](whole)[0]), abs=1e-12), name
    predicted = rows.argmax(1)
    dices = []
    for k, name in enumerate(CLASSES):
        true, called = labels == k, predicted == k
        dices.append(2 * (true & called).sum() / (true.sum() + called.sum()))
        assert given[f"dice/{name}"] == pytest.approx(dices[-1])
    assert given["mean_dice"] == pytest.approx(np.mean(dices[1:]))
    assert found.pixels == int(counts.sum())


def test_a_class_without_a_true_pixel_is_in_no_mean() -> None:
    targets = torch.tensor([[[0, 1, 1, IGNORE]]])
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 1, 2, 2]]]), 3).permute(0, 3, 1, 2).float()
    found = PixelFigures(3)
    found.add(logits, targets)
    given = found.figures(CLASSES)
    assert given["mean_dice"] == given["dice/vessel"] == pytest.approx(2 / 3)
    assert given["accuracy"] == pytest.approx(2 / 3)
    assert given["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert "dice/lesion" not in given


def test_without_foreground_dice_is_not_defined() -> None:
    found = PixelFigures(3)
    found.add(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    assert np.isnan(found.mean_dice)
    assert found.figures(CLASSES)["accuracy"] == 1
