"""What a training runs on, and in which precision: devices, through Lightning Fabric."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from edgekit.errors import missing_package
from edgekit.schema import Frozen

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Hardware(Frozen):
    """Where a training runs and in which precision; the names are those of Lightning Fabric."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="auto: a GPU where there is one"
    )
    devices: int = Field(default=1, ge=1, le=1024, description="of each machine; on a CPU, processes")
    nodes: int = Field(default=1, ge=1, le=1024, description="machines; see edgekit/training/processes.py")
    strategy: Literal["auto", "ddp"] = Field(
        default="auto", description="ddp: processes that average their gradients; auto: that, with several devices"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true", description="of the training steps; weights and validation are float32 always"
    )

    @model_validator(mode="after")
    def _exists(self) -> Self:
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ValueError("'precision: 16-mixed' needs a GPU; a CPU can do bf16-mixed")
        if self.accelerator == "mps" and self.distributed:
            raise ValueError("'accelerator: mps' has one device; leave out 'devices', 'nodes' and 'strategy'")
        return self

    @property
    def distributed(self) -> bool:
        """Whether the training runs in processes of its own."""
        return self.strategy == "ddp" or self.devices * self.nodes > 1


def threads(hardware: Hardware, asked: int) -> int:
    """CPU threads that a training process may use: those asked for, and one where processes are forked."""
    return 1 if hardware.distributed else max(asked, 1)


def describe(fabric: Fabric) -> str:
    """The device in words, such as ``cpu`` or ``4 x cuda (NVIDIA H200)``."""
    import torch

    name = fabric.device.type
    if name == "cuda":
        name += f" ({torch.cuda.get_device_name(fabric.device)})"
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"


def fabric(hardware: Hardware, where: str) -> Fabric:
    """Fabric for these settings, not launched yet.

    Raises:
        PassError: this machine has no such devices, or several machines do not know of each other.
        MissingError: Lightning Fabric is not installed.
    """
    from edgekit.passes.base import PassError  # the passes' own settings are made of these

    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError:
        raise missing_package("lightning-fabric", "torch") from None
    lacking = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ]
    if hardware.nodes > 1 and lacking:
        raise PassError(
            f"{hardware.nodes} machines need the environment variables {', '.join(lacking)}",
            where=f"{where}.nodes",
            remedy="set them on every machine: address and port of the first one, and the machine's number from 0",
        )
    # Parts of a network that no image of a batch used (dropped paths, an unused head) must not stall the others.
    ddp = DDPStrategy(start_method="fork", find_unused_parameters=True) if hardware.distributed else "auto"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they would say is checked below, or in Hardware
            made = Fabric(
                accelerator=hardware.accelerator,
                devices=hardware.devices,
                num_nodes=hardware.nodes,
                strategy=ddp,
                precision=hardware.precision,
                plugins=[LightningEnvironment()],
            )
    except (RuntimeError, ValueError, TypeError) as error:
        raise PassError(
            f"this machine cannot train on {hardware.devices} x '{hardware.accelerator}': {error}",
            where=f"{where}.accelerator",
            remedy="change 'accelerator' or 'devices', or leave them out",
        ) from error
    if hardware.precision == "16-mixed" and made.device.type == "cpu":
        raise PassError(
            "'16-mixed' needs a GPU and this machine has none",
            where=f"{where}.precision",
            remedy="use 32-true, or bf16-mixed",
        )
    return made
