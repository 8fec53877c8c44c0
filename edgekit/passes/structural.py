"""Passes that change a network's structure, so that a saved model can be rebuilt without pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from edgekit.passes.base import PassConfig

if TYPE_CHECKING:
    from torch import nn


class StructuralPass(PassConfig):
    """A pass that adds, removes or replaces modules.

    It describes what it did by an *edit*, plain JSON of the form ``{"kind": <its own kind>, ...}``, which the
    model keeps. Loading a saved model builds the network anew, replays its edits in order and then fills in the
    saved weights, so an edit fixes names and shapes and need not hold any number.

    Attributes:
        saves_compute: whether it is done for speed; the pipeline then measures the model before and after it on
            every target of the recipe that runs here.
    """

    saves_compute: ClassVar[bool] = False

    require_speedup: float | None = Field(
        default=None,
        ge=1,
        le=100,
        description="how many times faster (p50) the model must become on every target of the recipe that runs "
        "here; else the pass is rejected and the model before it is kept",
    )

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Give ``network`` (changed in place, or replaced) the structure that ``edit`` describes.

        Raises:
            InputError: the edit does not fit the network.
        """
        raise NotImplementedError
