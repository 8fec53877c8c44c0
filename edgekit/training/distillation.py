"""Knowledge distillation: a student learns from a teacher's logits, as well as from the labels.

Hinton et al. 2015: the soft loss is T^2 KL(softmax(teacher / T) || softmax(student / T)), averaged over images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekit.schema import Frozen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model import Model
    from edgekit.training.loop import Objective, Supervised


class Distillation(Frozen):
    """What a student learns from its teacher."""

    temperature: float = Field(default=4.0, gt=0, le=100, description="of both softmaxes in the soft loss")
    weight: float = Field(
        default=0.5, ge=0, le=1, description="of the soft loss; the labels' loss has one minus this"
    )


def objective(settings: Distillation, teacher: Model, student: Model) -> tuple[Objective, nn.Module | None]:
    """The loss to give to ``training.loop.fit``, and the module that trains along with it, if any."""
    import torch
    from torch.nn import functional

    frozen = teacher.copy().network.requires_grad_(False).eval()
    temperature = settings.temperature

    def loss(network: nn.Module, inputs: Tensor, labels: Tensor, supervised: Supervised) -> Tensor:
        with torch.no_grad():
            told = functional.log_softmax(frozen(inputs) / temperature, dim=1)
        logits = network(inputs)
        given = functional.log_softmax(logits / temperature, dim=1)
        soft = functional.kl_div(given, told, reduction="batchmean", log_target=True) * temperature**2
        total: Tensor = settings.weight * soft + (1 - settings.weight) * supervised(logits, labels)
        return total

    return loss, None
