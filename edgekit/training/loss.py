"""The supervised loss: cross-entropy, and with it the soft Dice loss for segmentation.

Cross-entropy is the mean over images, or over all pixels, weighted by the weight of the true class w_y:

    CE = sum_i w_y(i) (-log p_y(i)) / sum_i w_y(i)          (label smoothing as in PyTorch)

The soft Dice loss (Milletari et al. 2016) is taken over the whole batch, for each foreground class k, p the softmax
and g the true class as 0 or 1:

    Dice = 1 - mean_k (2 sum_i p_k(i) g_k(i) + s) / (sum_i p_k(i) + sum_i g_k(i) + s),   s = 1e-5

``cross_entropy_dice`` is CE + Dice, as nnU-Net trains (Isensee et al. 2021). Pixels of the label IGNORE are in no
sum. Class weights and label smoothing act on CE alone: Dice balances the classes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.data.base import IGNORE

if TYPE_CHECKING:
    from edgekit.training.settings import Training

_SMOOTH = 1e-5
_TINY = 1e-12


class SupervisedLoss(nn.Module):
    """The loss of the module's docstring, by sums that add up over batches.

    A training calls it on a batch. Validation adds the sums of all batches, so that its loss is that of the whole
    split at once, whatever fits into memory. With several devices each takes Dice over its own part of the batch.

    Args:
        settings: ``loss`` (none: cross-entropy alone) and ``label_smoothing``.
        class_weights: one a class.
    """

    weight: Tensor

    def __init__(self, settings: Training, class_weights: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(class_weights, dtype=torch.float32))
        self._smoothing = settings.label_smoothing
        self._dice = settings.loss == "cross_entropy_dice"

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of one batch, a scalar: 0 where every pixel of it is ignored.

        Args:
            logits: ``[n, K]`` or ``[n, K, *spatial]``.
            targets: ``int64[n]``, or ``int64[n, *spatial]`` with IGNORE where a pixel counts nowhere.
        """
        return self.whole(self.sums(logits, targets))

    def sums(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Both sums of CE, and with Dice those of p g, p and g of each foreground class; one row of numbers."""
        logits = logits.float()  # half precision would not hold a sum over all pixels
        classes = logits.shape[1]
        # 255 is a class like any other where an image has one label.
        ignored = IGNORE if targets.ndim > 1 else -100
        counts = targets != ignored
        cross_entropy = functional.cross_entropy(
            logits, targets, self.weight, ignore_index=ignored, reduction="sum", label_smoothing=self._smoothing
        )
        found = [cross_entropy, (self.weight[targets.clamp(0, classes - 1)] * counts).sum()]
        if self._dice:
            share = logits.softmax(1) * counts.unsqueeze(1)
            true = [targets == k for k in range(1, classes)]
            found += [(share[:, k] * one).sum() for k, one in enumerate(true, start=1)]
            found += [share[:, k].sum() for k in range(1, classes)]
            found += [one.sum().to(share.dtype) for one in true]
        return torch.stack(found)

    def whole(self, sums: Tensor) -> Tensor:
        """The loss of all that ``sums`` were taken over, a scalar."""
        loss: Tensor = sums[0] / sums[1].clamp_min(_TINY)
        if self._dice:
            both, given, true = sums[2:].chunk(3)
            loss = loss + 1 - ((2 * both + _SMOOTH) / (given + true + _SMOOTH)).mean()
        return loss
