"""Passes that change a network's structure, so that a saved model can be rebuilt without pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.passes.base import PassConfig

if TYPE_CHECKING:
    from torch import nn


class StructuralPass(PassConfig):
    """A pass that adds, removes or replaces modules.

    It describes what it did by an *edit*, plain JSON of the form ``{"kind": <its own kind>, ...}``, which the
    model keeps. Loading a saved model builds the network anew, replays its edits in order and then fills in the
    saved weights, so an edit fixes names and shapes and need not hold any number.
    """

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Give ``network`` (changed in place, or replaced) the structure that ``edit`` describes.

        Raises:
            InputError: the edit does not fit the network.
        """
        raise NotImplementedError
