"""Transforms that torchvision's v2 does not have. Each does the same to an image and to the mask beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from edgekit.zoo import torchvision_shim

torchvision_shim.declare()
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

__all__ = ["DepthFlip", "Intensity", "QuarterTurn", "VolumeShift", "tv_tensors", "v2"]


class _Same(v2.Transform):  # type: ignore[misc]
    """Draws once, and does it to every tensor."""

    def change(self, tensor: Tensor, drawn: Any) -> Tensor:
        raise NotImplementedError

    def draw(self) -> Any:
        raise NotImplementedError

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """See torchvision: what is drawn for one image."""
        return {"drawn": self.draw()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """See torchvision: one of the image and the mask."""
        changed = self.change(inpt.as_subclass(Tensor), params["drawn"])
        return tv_tensors.wrap(changed, like=inpt)


class QuarterTurn(_Same):
    """Turns by 0, 90, 180 or 270 degrees in the plane of the last two axes."""

    def draw(self) -> int:
        """Number of quarter turns."""
        return int(torch.randint(4, ()))

    def change(self, tensor: Tensor, drawn: int) -> Tensor:
        """``[..., S, S]``."""
        return torch.rot90(tensor, drawn, (-2, -1))


class DepthFlip(_Same):
    """Reverses every second volume along its first axis."""

    def draw(self) -> bool:
        """Whether this one."""
        return bool(torch.randint(2, ()))

    def change(self, tensor: Tensor, drawn: bool) -> Tensor:
        """``[..., D, H, W]``."""
        return tensor.flip(-3) if drawn else tensor


class VolumeShift(_Same):
    """Moves a volume along all three axes; the voxels at its edge are repeated.

    Args:
        most: largest shift of each axis, in voxels.
    """

    def __init__(self, most: Sequence[int]) -> None:
        super().__init__()
        self.most = tuple(most)

    def draw(self) -> list[int]:
        """Shift of each axis."""
        return [int(torch.randint(-most, most + 1, ())) for most in self.most]

    def change(self, tensor: Tensor, drawn: list[int]) -> Tensor:
        """``[..., D, H, W]``."""
        for axis, by in zip((-3, -2, -1), drawn, strict=True):
            size = tensor.shape[axis]
            tensor = tensor.index_select(axis, (torch.arange(size) - by).clamp(0, size - 1))
        return tensor


class Intensity(_Same):
    """a x + b of normalized values: a in 1 +- strength, b in +- strength (of a standard deviation).

    Args:
        strength: see there.
    """

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def draw(self) -> tuple[float, float]:
        """a, b."""
        factor, offset = torch.empty(2).uniform_(-self.strength, self.strength).tolist()
        return 1 + factor, offset

    def change(self, tensor: Tensor, drawn: tuple[float, float]) -> Tensor:
        """Of any shape."""
        return tensor * drawn[0] + drawn[1]
