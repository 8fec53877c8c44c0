"""Puts a network into the memory layout in which it trains fastest on a CPU, around defects there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

#: The widest block of channels that oneDNN's 1x1 kernels use.
BLOCK = 16


def channels_last(network: nn.Module) -> nn.Module:
    """``network``, changed in place: weights in channels-last, and no layer that oneDNN computes wrongly in it.

    For a 1x1 convolution with stride > 1 and fewer input channels than one block, in channels-last, oneDNN's
    gradient of the weight writes past its buffer: wrong gradients or a crash (uxlfoundation/oneDNN issue 6035;
    the stem of MobileOne is such a layer). Taking every stride-th pixel first and convolving those with stride 1
    is the same operation. Meant for a working copy: the layers' ``stride`` is changed.

    A network with a 3-D convolution stays as it is: this layout is of images, not of volumes.
    """
    from torch import nn

    if _takes_volumes(network):
        return network
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d) or layer.in_channels // layer.groups >= BLOCK:
            continue
        if layer.kernel_size == (1, 1) and max(layer.stride) > 1 and layer.padding == (0, 0):
            layer.register_forward_pre_hook(_take_every(layer.stride))
            layer.stride = (1, 1)
    return in_channels_last(network)


def in_channels_last(network: nn.Module) -> nn.Module:
    """``network``, its weights in channels-last, in place; one with a 3-D convolution as it is.

    What group normalization takes is put in channels-first: in channels-last PyTorch 2.13 finds the variance on a
    CPU as the difference of two large sums in float32, and gave values that were off by 0.1 to 24 standard
    deviations where most of an image is flat.
    """
    import torch
    from torch import nn

    if _takes_volumes(network):
        return network
    for layer in network.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.register_forward_pre_hook(_channels_first)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _channels_first(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0].contiguous()


def _takes_volumes(network: nn.Module) -> bool:
    return any(one.ndim == 5 for one in (*network.parameters(), *network.buffers()))


def arranged(inputs: Tensor) -> Tensor:
    """Images ``[n, C, H, W]`` in channels-last; volumes ``[n, C, D, H, W]`` as they are."""
    import torch

    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs.contiguous()


def _take_every(stride: tuple[int, ...]) -> Any:
    def before(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return inputs[0][:, :, :: stride[0], :: stride[1]]

    return before
