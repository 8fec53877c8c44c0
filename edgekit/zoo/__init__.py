"""Networks by name: edgekit's own, timm's, those of installed packages, and the user's own module."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError
from edgekit.zoo import catalogue, timm_models, user_module

if TYPE_CHECKING:
    from torch import nn

#: The architecture that stands for the callable given by ``--module``.
MODULE = "module"


def names() -> list[str]:
    """Every architecture that can be named here, ``module`` apart."""
    return sorted({*catalogue.names(), *user_module.entry_points(), *timm_models.names()})


def build(
    architecture: str, arguments: dict[str, Any], num_classes: int, in_channels: int, module: str | None
) -> nn.Module:
    """A network with random weights, drawn from torch's global generator.

    Args:
        architecture: one of ``catalogue``, a timm model, an entry point of the group ``edgekit.models``, or
            ``module``.
        arguments: what the architecture's constructor takes besides the next two.
        num_classes: K; the network gives logits ``[N, K]``, or ``[N, K, *spatial]`` for segmentation.
        in_channels: C of its input ``[N, C, *spatial]``.
        module: ``package.module:callable`` as given on the command line; used by ``module`` only.

    Raises:
        InputError: unknown architecture (with the nearest names), or arguments that it does not take.
        MissingError: torch or timm is not installed.
    """
    if architecture == MODULE:
        if module is None:
            raise InputError(
                "the architecture 'module' needs the callable that builds it",
                where="model.architecture",
                remedy="add --module package.module:callable to the command",
            )
        return user_module.build(module, arguments, num_classes, in_channels)
    own = catalogue.find(architecture)
    if own is not None:
        return catalogue.build(own, arguments, num_classes, in_channels)
    if architecture in user_module.entry_points():
        return user_module.build_entry_point(architecture, arguments, num_classes, in_channels)
    if timm_models.knows(architecture):
        return timm_models.build(architecture, arguments, num_classes, in_channels)
    near = difflib.get_close_matches(architecture, names(), n=3)
    raise InputError(
        f"unknown architecture '{architecture}'" + (f", did you mean {' or '.join(near)}?" if near else ""),
        where="model.architecture",
        remedy="'edgekit models' lists them; for your own network use 'module' and --module",
    )
