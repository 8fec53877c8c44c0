"""Which tensors and attributes of a layer run along its channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

#: The channels that a layer gives, that it takes, or both where they are the same ones (norms, depthwise).
Side = Literal["out", "in", "both"]


@dataclass(frozen=True)
class Axes:
    """One side of a layer.

    Attributes:
        tensors: attribute and dimension of each parameter and buffer that runs along the channels.
        counts: integer attributes that hold the number of channels, or a tuple that ends in it.
        size: number of channels C.
        period: channels that are equal modulo this must be removed together, C where there is no such rule. A
            convolution of g groups needs equally many channels in each, so C / g; GroupNorm likewise.
    """

    tensors: tuple[tuple[str, int], ...]
    counts: tuple[str, ...]
    size: int
    period: int


def axes(layer: nn.Module, side: Side) -> Axes | None:
    """The channels of ``layer`` on ``side``; none for a kind of layer that is not known here."""
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd
    from torch.nn.modules.instancenorm import _InstanceNorm

    if isinstance(layer, _ConvNd):
        return _convolution(layer, side)
    if isinstance(layer, nn.Linear):
        if side == "out":
            return _plain((("weight", 0), ("bias", 0)), "out_features", layer.out_features)
        return _plain((("weight", 1),), "in_features", layer.in_features) if side == "in" else None
    if side != "both":
        return None
    if isinstance(layer, (_BatchNorm, _InstanceNorm)):
        names = ("weight", "bias", "running_mean", "running_var")
        return _plain(tuple((name, 0) for name in names), "num_features", layer.num_features)
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1:
        return _plain((("weight", 0), ("bias", 0)), "normalized_shape", layer.normalized_shape[0])
    if isinstance(layer, nn.GroupNorm):
        size = layer.num_channels
        return Axes((("weight", 0), ("bias", 0)), ("num_channels",), size, size // layer.num_groups)
    if isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
        return _plain((("weight", 0),), "num_parameters", layer.num_parameters)
    return None


def _plain(tensors: tuple[tuple[str, int], ...], count: str, size: int) -> Axes:
    return Axes(tensors, (count,), size, size)


def _convolution(layer: nn.modules.conv._ConvNd, side: Side) -> Axes | None:
    """Weights are [out, in / groups, ...], those of a transposed convolution [in, out / groups, ...]."""
    if layer.groups == layer.in_channels == layer.out_channels and layer.groups > 1:
        counts = ("in_channels", "out_channels", "groups")
        size = layer.out_channels
        return Axes((("weight", 0), ("bias", 0)), counts, size, size) if side == "both" else None
    if side == "both" or (layer.transposed and layer.groups > 1):
        return None
    if side == "out":
        size = layer.out_channels
        tensors = (("weight", 1 if layer.transposed else 0), ("bias", 0))
        return Axes(tensors, ("out_channels",), size, size // layer.groups)
    size = layer.in_channels
    return Axes((("weight", 0 if layer.transposed else 1),), ("in_channels",), size, size // layer.groups)
