"""One process of a training: its working copy of the network, on its device, and one step of the optimizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.training import optimizers, validation
from edgekit.training.averaging import averaged
from edgekit.training.inputs import Inputs
from edgekit.training.layout import arranged
from edgekit.training.objective import Objective, Supervised
from edgekit.training.sampling import Batches, Images

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from edgekit.model import Model
    from edgekit.training.settings import Training


@dataclass(frozen=True)
class Job:
    """All that a training needs, ready to run in this process or in several; see ``loop.fit`` for what they are."""

    model: Model
    settings: Training
    images: Images
    inputs: Inputs
    batches: Batches
    class_weights: list[float]
    threads: int
    where: str
    objective: Objective
    extra: nn.Module | None
    after_step: Callable[[nn.Module], None]
    layout: Callable[[nn.Module], nn.Module]


class Worker:
    """The part of ``job`` that runs on the device of ``fabric``."""

    def __init__(self, job: Job, fabric: Fabric) -> None:
        from edgekit.training.loss import SupervisedLoss

        settings = job.settings
        self._job, self._fabric = job, fabric
        self._network = job.layout(copy.deepcopy(job.model.network)).to(fabric.device)
        self._heads = optimizers.freeze(settings, self._network, job.model, job.where)
        self._loss_of = SupervisedLoss(settings, job.class_weights).to(fabric.device)
        step = _step_module(self._network, job.extra, job.objective, self._loss_of).to(fabric.device)
        self._optimizer = optimizers.optimizer(settings, step)
        self._step, self._stepper = fabric.setup(step, self._optimizer)
        self._average = averaged(self._network, settings.ema) if settings.ema is not None else None
        self._kept = self._network if self._average is None else self._average.module
        self._inputs = job.inputs

    @property
    def trained_parameters(self) -> int:
        """Number of weights of the network that learn."""
        return sum(p.numel() for p in self._network.parameters() if p.requires_grad)

    def train_mode(self) -> None:
        """What trains is put into training mode; call it before each epoch."""
        optimizers.train_mode(self._network, self._heads)

    def step(self, batch: NDArray[np.int64], rate: float) -> float:
        """Learn from this device's part of ``batch`` (indices of training images) with the learning rate ``rate``.

        Returns:
            The loss of the whole batch, the same on all devices. Where it is not finite, nothing was learned.
        """
        fabric, settings = self._fabric, self._job.settings
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        mine = np.sort(np.array_split(batch, fabric.world_size)[fabric.global_rank])
        loss = self._step(*self._batch(mine))
        value = loss.detach()
        if fabric.world_size > 1:
            # Gradients are averaged over devices: weighted by its part, each image counts the same.
            loss = loss * (len(mine) * fabric.world_size / len(batch))
            value = fabric.all_reduce(loss.detach().clone(), reduce_op="mean")
        told = float(value.item())
        if not math.isfinite(told):
            return told
        self._optimizer.zero_grad()
        fabric.backward(loss)
        if settings.gradient_clipping is not None:
            # A gradient that is not finite shows in the next loss, which is reported with a remedy.
            fabric.clip_gradients(
                self._step, self._stepper, max_norm=settings.gradient_clipping, error_if_nonfinite=False
            )
        self._stepper.step()
        self._job.after_step(self._network)
        if self._average is not None:
            self._average.update_parameters(self._network)
        return told

    def validate(self) -> dict[str, float]:
        """``validation.figures`` of the weights that would be kept, from the first device."""
        from edgekit.model import settle

        found: dict[str, float] = {}
        if self._fabric.global_rank == 0:
            job = self._job
            network = settle(self._kept)
            found = validation.figures(
                network, job.images, job.settings, self._loss_of, self._fabric.device, job.model.at_once
            )
        return self._fabric.broadcast(found)

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights that would be kept."""
        return {name: one.detach().clone() for name, one in self._kept.state_dict().items()}

    def _batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Inputs and targets on the device, changed at random where the settings ask for it."""
        images, device = self._job.images, self._fabric.device
        pixels, targets = images.pixels("train", indices), images.targets("train", indices)
        inputs, wanted = self._inputs(pixels, targets)
        return arranged(inputs.to(device)), wanted.to(device)


def _step_module(
    network: nn.Module, extra: nn.Module | None, objective: Objective, supervised: Supervised
) -> nn.Module:
    """A module ``(inputs, labels) -> loss``: wrapped as a whole, it leaves the network that objectives see bare."""
    from torch import nn

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.extra = extra

        def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
            return objective(self.network, inputs, labels, supervised)

    return Step()
