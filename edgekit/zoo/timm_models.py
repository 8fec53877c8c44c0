"""Networks of timm, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError, missing_package
from edgekit.zoo import torchvision_shim

if TYPE_CHECKING:
    from torch import nn

#: Arguments that would fetch or read files, or that the recipe states elsewhere.
_ELSEWHERE = {
    "pretrained": "edgekit downloads no weights; give a file in 'model.weights'",
    "pretrained_cfg": "give the weights in 'model.weights' and the preprocessing in 'input'",
    "pretrained_cfg_overlay": "give the weights in 'model.weights' and the preprocessing in 'input'",
    "checkpoint_path": "give the file in 'model.weights'",
    "cache_dir": "edgekit downloads no weights; give a file in 'model.weights'",
    "num_classes": "it is the number of 'task.classes'",
    "in_chans": "it is 'input.channels'",
    "features_only": "the network must end in a classifier",
    "out_indices": "the network must end in a classifier",
}


def names() -> list[str]:
    """Every architecture that the installed timm knows.

    Raises:
        MissingError: timm is not installed.
    """
    return list(_timm().list_models())


def knows(architecture: str) -> bool:
    """Whether timm has ``architecture`` (with or without the tag of a set of weights)."""
    return bool(_timm().is_model(architecture))


def build(architecture: str, arguments: dict[str, Any], num_classes: int, in_channels: int) -> nn.Module:
    """A network of timm with random weights.

    Raises:
        InputError: timm refuses the arguments, or they belong elsewhere in the recipe.
    """
    for name, remedy in _ELSEWHERE.items():
        if name in arguments:
            raise InputError(f"'{name}' cannot be set here", where=f"model.arguments.{name}", remedy=remedy)
    try:
        network: nn.Module = _timm().create_model(
            architecture, pretrained=False, num_classes=num_classes, in_chans=in_channels, **arguments
        )
    except Exception as error:  # the constructors of a thousand networks raise whatever they like
        raise InputError(
            f"timm cannot build '{architecture}' with these arguments: {type(error).__name__}: {error}",
            where="model.arguments",
            remedy="see the arguments of that network in timm's documentation",
        ) from error
    return network


def _timm() -> Any:
    torchvision_shim.declare()
    try:
        import timm
    except ImportError:
        raise missing_package("timm", "torch") from None
    return timm
