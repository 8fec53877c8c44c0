"""What a training minimizes: the loss of one batch, as passes may define it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

#: The recipe's own loss: logits ``[n, K, ...]`` and targets ``[n, ...]`` to a scalar.
Supervised = Callable[["Tensor", "Tensor"], "Tensor"]


class Objective(Protocol):
    """The loss of one batch; what a pass trains for where plain cross-entropy is not all.

    It may run on any device, so what it brings along (a teacher) must be moved to that of ``inputs``: say
    ``teacher.to(inputs.device)``, which costs nothing once it is there. ``fit`` moves ``extra`` itself. With
    several devices it runs in one forked process each, on that device's part of the batch.
    """

    def __call__(self, network: nn.Module, inputs: Tensor, labels: Tensor, supervised: Supervised) -> Tensor:
        """A scalar, with gradients.

        Args:
            network: in training mode, not wrapped: its layers have their own names; call it once.
            inputs: ``float32[n, C, *spatial]``, augmented, on the device that trains.
            labels: ``int64[n]``, or ``int64[n, *spatial]`` with IGNORE for segmentation; there as well.
            supervised: the recipe's own loss ``(logits, labels) -> scalar``, see ``training.loss``.
        """
        ...


def supervised_only(network: nn.Module, inputs: Tensor, labels: Tensor, supervised: Supervised) -> Tensor:
    """The objective of plain training."""
    return supervised(network(inputs), labels)
