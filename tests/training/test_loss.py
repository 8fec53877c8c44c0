from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekit.data.base import IGNORE
from edgekit.training.loss import SupervisedLoss
from edgekit.training.settings import Training

WEIGHTS = [0.5, 1.0, 3.0]


def loss_of(**values: object) -> SupervisedLoss:
    return SupervisedLoss(Training.model_validate({"loss": "cross_entropy_dice", **values}), WEIGHTS)


def batch(*size: int, ignored: bool) -> tuple[Tensor, Tensor]:
    """Logits of three classes ``[4, 3, *size]`` and masks, a third of them ignored where asked for."""
    generator = torch.Generator().manual_seed(len(size))
    logits = 2 * torch.randn(4, 3, *size, generator=generator)
    targets = torch.randint(3, (4, *size), generator=generator)
    if ignored:
        targets[torch.rand(targets.shape, generator=generator) < 1 / 3] = IGNORE
    return logits.requires_grad_(True), targets


@pytest.mark.parametrize("size", [(8, 6), (4, 6, 5)])
def test_cross_entropy_is_pytorch_s(size: tuple[int, ...]) -> None:
    logits, targets = batch(*size, ignored=True)
    given = loss_of(loss="cross_entropy", label_smoothing=0.1)(logits, targets)
    weight = torch.tensor(WEIGHTS)
    wanted = nn.CrossEntropyLoss(weight, ignore_index=IGNORE, label_smoothing=0.1)(logits, targets)
    assert given.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("size", [(8, 6), (4, 6, 5)])
def test_with_dice_it_is_monai_s(size: tuple[int, ...]) -> None:
    losses = pytest.importorskip("monai.losses")
    logits, targets = batch(*size, ignored=False)
    # MONAI's DiceCELoss weighs the classes of Dice as well, and ignores no pixel.
    dice = losses.DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    cross_entropy = nn.CrossEntropyLoss(torch.tensor(WEIGHTS))
    given, wanted = loss_of()(logits, targets), dice(logits, targets.unsqueeze(1)) + cross_entropy(logits, targets)
    assert given.item() == pytest.approx(wanted.item(), rel=1e-5)
    own, theirs = (torch.autograd.grad(one, logits)[0] for one in (given, wanted))
    assert torch.allclose(own, theirs, rtol=1e-4, atol=1e-8)


def test_ignored_pixels_count_nowhere() -> None:
    logits, targets = batch(8, 6, ignored=True)
    loss = loss_of()
    other = torch.where((targets == IGNORE).unsqueeze(1), -3 * logits.detach() + 7, logits.detach())
    assert loss(other, targets).item() == pytest.approx(loss(logits, targets).item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss(logits, targets), logits)
    ignored = (targets == IGNORE).unsqueeze(1).expand_as(gradient)
    assert bool((gradient[ignored] == 0).all())
    assert bool((gradient[~ignored] != 0).any())


def test_a_batch_without_a_pixel_teaches_nothing() -> None:
    logits, targets = batch(8, 6, ignored=False)
    given = loss_of()(logits, torch.full_like(targets, IGNORE))
    (gradient,) = torch.autograd.grad(given, logits)
    assert given.item() == 0
    assert not gradient.any()


def test_sums_of_parts_give_the_loss_of_the_whole() -> None:
    """The mean of the parts' losses would be another number: their pixels and classes differ."""
    logits, targets = batch(8, 6, ignored=True)
    loss = loss_of()
    parts = [(logits[:1], targets[:1]), (logits[1:], targets[1:])]
    whole = loss(logits, targets).item()
    sums = torch.stack([loss.sums(*part) for part in parts]).sum(0)
    assert loss.whole(sums).item() == pytest.approx(whole, rel=1e-5)
    assert sum(loss(*part).item() for part in parts) / 2 != pytest.approx(whole, rel=1e-3)


def test_class_255_of_an_image_is_a_class() -> None:
    loss = SupervisedLoss(Training(loss="cross_entropy"), [1.0] * 300)
    logits = torch.zeros(2, 300)
    logits[:, IGNORE] = 5
    targets = torch.tensor([IGNORE, 0])
    wanted = nn.functional.cross_entropy(logits, targets)
    assert loss(logits, targets).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_half_precision_sums_do_not_overflow() -> None:
    logits = torch.full((2, 3, 256, 256), -8.0, dtype=torch.float16)
    logits[:, 0] = 8
    given = loss_of(loss="cross_entropy")(logits, torch.ones(2, 256, 256, dtype=torch.int64))
    assert given.item() == pytest.approx(16, rel=1e-4)
