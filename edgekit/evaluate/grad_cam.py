"""Where a network in PyTorch looks: Grad-CAM (Selvaraju et al. 2017), computed by Captum.

Captum is PyTorch's own library for attributions and needs nothing else that edgekit has not. MONAI's Grad-CAM wants
the name of a layer, leaves its hooks in the network, and turns the map round when it normalizes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UnsupportedError, missing_package
from edgekit.evaluate.figures import Floats

if TYPE_CHECKING:
    from torch import nn

#: A map of fewer pixels a side ranks nothing.
_LEAST = 4


def grad_cam(network: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]) -> Floats:
    """Maps ``[n, h, w]`` at the resolution of the last layer that has 4 by 4 pixels or more.

    Args:
        network: in eval mode, on the CPU; it is not changed.
        images: normalized, ``[n, C, H, W]``.
        labels: ``[n]``, the class of each map.

    Raises:
        UnsupportedError: no layer gives a map of pixels, as in a network of tokens.
        MissingError: Captum is not installed.
    """
    try:
        from captum.attr import LayerGradCam
    except ImportError:
        raise missing_package("captum", "torch") from None
    import torch

    # Copies, since torch takes no array that only may be read.
    inputs, targets = torch.from_numpy(images.copy()), torch.from_numpy(labels.copy())
    layer = _last(network, inputs[:1])
    found = LayerGradCam(network, layer).attribute(
        inputs, target=targets, relu_attributions=True, attr_dim_summation=True
    )
    maps: Floats = found[:, 0].detach().numpy().astype(np.float64)
    return maps


def _last(network: nn.Module, inputs: Any) -> nn.Module:
    """The module that ends last among those that give a map of pixels."""
    import torch

    found: list[nn.Module] = []

    def look(module: nn.Module, given: Any, result: Any) -> None:
        if isinstance(result, torch.Tensor) and result.ndim == 4 and min(result.shape[2:]) >= _LEAST:
            found.append(module)

    hooks = [module.register_forward_hook(look) for module in network.modules() if module is not network]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise UnsupportedError(f"no layer of the network gives a map of {_LEAST} by {_LEAST} pixels")
    return found[-1]
