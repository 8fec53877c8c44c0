"""The loss of a distillation, as the training loop calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from edgekit.data.base import IGNORE
from edgekit.training.layers import run
from edgekit.training.layout import channels_last

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model import Model
    from edgekit.training.distillation import Distillation
    from edgekit.training.objective import Supervised


class Term(Protocol):
    """A loss between the teacher's and the student's layers.

    Attributes:
        names: the pairs of layers that it compares, the teacher's first.
        reads: the pairs of layers whose outputs it needs for that.
    """

    names: list[tuple[str, str]]
    reads: list[tuple[str, str]]

    def __call__(self, told: dict[str, Tensor], given: dict[str, Tensor], image: tuple[int, ...]) -> Tensor:
        """A scalar, from the outputs of the teacher's and of the student's layers, by name."""
        ...


class Loss:
    """L of the docstring of ``distillation``, as a ``training.objective.Objective``.

    Made by ``distillation.objective``. The teacher follows the inputs to their device; no gradient reaches it.
    """

    def __init__(self, settings: Distillation, teacher: Model, terms: dict[str, tuple[float, Term]]) -> None:
        self._settings = settings
        self._teacher = channels_last(teacher.copy().network.requires_grad_(False)).eval()
        self._terms = terms
        reads = [pair for _, term in terms.values() for pair in term.reads]
        self._reads = [one for one, _ in reads], [other for _, other in reads]

    def __call__(self, network: nn.Module, inputs: Tensor, labels: Tensor, supervised: Supervised) -> Tensor:
        """See ``training.objective.Objective``.

        Raises:
            PassError: layers are compared, and ``network`` is not the student's own network.
        """
        settings = self._settings
        logits, given = run(network, inputs, self._reads[1])
        total: Tensor = (1 - settings.weight) * supervised(logits, labels)
        if not settings.weight and not self._terms:
            return total
        with torch.no_grad():
            answer, told = run(self._teacher.to(inputs.device), inputs, self._reads[0])
        if settings.weight:
            # 255 is a class like any other where an image has one label.
            counts = labels != IGNORE if labels.ndim > 1 else None
            total = total + settings.weight * soft_loss(answer, logits, settings.temperature, counts)
        image = tuple(inputs.shape[2:])
        for weight, term in self._terms.values():
            total = total + weight * term(told, given, image)
        return total

    def changes(self) -> dict[str, Any]:
        """What is learned from the teacher, for the record."""
        found: dict[str, Any] = {"temperature": self._settings.temperature, "weight": self._settings.weight}
        for name, (weight, term) in self._terms.items():
            found[name] = {"weight": weight, "pairs": [list(pair) for pair in term.names]}
        if not self._settings.weight and not self._terms:
            found["note"] = "with weight 0 and no layers nothing is learned from the teacher"
        return found


def soft_loss(teacher: Tensor, student: Tensor, temperature: float, counts: Tensor | None = None) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over images, or over pixels.

    Args:
        teacher: logits ``[n, K]`` or ``[n, K, *spatial]``.
        student: of the same shape.
        temperature: T.
        counts: which pixels count, ``bool[n, *spatial]``; none: all. With no pixel at all the loss is 0.
    """
    told = functional.log_softmax(teacher / temperature, dim=1)
    given = functional.log_softmax(student / temperature, dim=1)
    divergence = functional.kl_div(given, told, reduction="none", log_target=True).sum(1)
    if counts is None:
        return divergence.mean() * temperature**2
    return (divergence * counts).sum() / counts.sum().clamp_min(1) * temperature**2
