"""Random changes of training images that keep the diagnosis, with torchvision's v2 transforms.

They work on 8-bit images as they are stored, before normalization: colour jitter is defined on images of 0 to 255.
Volumes, and images that are stored as floating-point numbers, are changed after it. A mask moves with its image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, model_validator

from edgekit.data.base import IGNORE
from edgekit.schema import Frozen

if TYPE_CHECKING:
    from torch import Tensor

#: Changes that have no strength, or their usual one.
Name = Literal[
    "horizontal_flip",
    "vertical_flip",
    "depth_flip",
    "quarter_turn",
    "shift",
    "intensity",
    "rotation",
    "colour_jitter",
]


class Shift(Frozen):
    """Moves the image along each of its axes; the edge pixels are repeated, and those of a mask."""

    kind: Literal["shift"] = "shift"
    fraction: float = Field(default=0.1, gt=0, le=0.5, description="largest shift, as a part of the side")


class Intensity(Frozen):
    """Changes brightness and contrast; of volumes and floating-point images scale and offset, once normalized."""

    kind: Literal["intensity"] = "intensity"
    strength: float = Field(default=0.1, gt=0, le=1, description="largest change of either factor")


class Rotation(Frozen):
    """Turns the image about its centre, a volume in the plane of height and width.

    What comes in at the corners is black, the mean where images are floating-point, and ignored in a mask.
    """

    kind: Literal["rotation"] = "rotation"
    degrees: float = Field(default=15.0, gt=0, le=180, description="largest angle, either way")


class ColourJitter(Frozen):
    """Changes brightness, contrast, saturation and hue in random order. Gray images have no saturation and hue."""

    kind: Literal["colour_jitter"] = "colour_jitter"
    brightness: float = Field(default=0.2, ge=0, le=1, description="largest change of the factor")
    contrast: float = Field(default=0.2, ge=0, le=1, description="largest change of the factor")
    saturation: float = Field(default=0.2, ge=0, le=1, description="largest change of the factor")
    hue: float = Field(default=0.1, ge=0, le=0.5, description="largest turn of the colour circle, 1: all of it")

    @model_validator(mode="after")
    def _changes(self) -> Self:
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            raise ValueError("all strengths are 0, so nothing would change; leave it out")
        return self


def _tag(value: Any) -> str:
    if isinstance(value, str):
        return "name"
    return str(value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None))


#: A name, or an object that gives a strength as well.
Augmentation = Annotated[
    Annotated[Name, Tag("name")]
    | Annotated[Shift, Tag("shift")]
    | Annotated[Intensity, Tag("intensity")]
    | Annotated[Rotation, Tag("rotation")]
    | Annotated[ColourJitter, Tag("colour_jitter")],
    Discriminator(_tag),
]


def kind_of(entry: Augmentation) -> str:
    """The name of the change, however it was written."""
    return entry if isinstance(entry, str) else entry.kind


def transform(
    entries: Sequence[Augmentation], size: Sequence[int], normalized: bool = False
) -> Callable[..., Any] | None:
    """One transform of an image ``[C, *size]`` that does all of ``entries`` in their order; none for none.

    Given an image and a mask as torchvision's ``Image`` and ``Mask`` it does the same to both. It draws from
    PyTorch's global generator. Flips act on every second image, quarter turns by 0, 90, 180 or 270 degrees.

    Args:
        entries: what the recipe names; see ``inputs.check``.
        size: height and width, or depth, height and width, in pixels.
        normalized: whether it gets normalized ``float32`` images; else ``uint8``.
    """
    if not entries:
        return None
    from edgekit.training import transforms

    composed: Callable[..., Any] = transforms.v2.Compose([_make(entry, size, normalized) for entry in entries])
    return composed


def augment(pixels: NDArray[np.uint8], change: Callable[..., Any]) -> NDArray[np.uint8]:
    """``pixels`` ``uint8[n, H, W, C]`` with ``change`` drawn anew for each image."""
    import torch

    images = torch.from_numpy(pixels).movedim(-1, 1)
    changed: NDArray[np.uint8] = torch.stack([change(image) for image in images]).movedim(1, -1).numpy()
    return changed


def augment_with_masks(images: Tensor, masks: Tensor, change: Callable[..., Any]) -> tuple[Tensor, Tensor]:
    """Images ``[n, C, *size]`` and masks ``int64[n, *size]`` with ``change`` drawn anew for each pair."""
    import torch

    from edgekit.training.transforms import tv_tensors

    pairs = [
        change(tv_tensors.Image(image), tv_tensors.Mask(mask)) for image, mask in zip(images, masks, strict=True)
    ]
    changed = [torch.stack([one.as_subclass(torch.Tensor) for one in some]) for some in zip(*pairs, strict=True)]
    return changed[0], changed[1]


def _make(entry: Augmentation, size: Sequence[int], normalized: bool) -> Any:
    from edgekit.training import transforms

    v2, masks = transforms.v2, transforms.tv_tensors.Mask
    match entry:
        case "horizontal_flip":
            return v2.RandomHorizontalFlip()
        case "vertical_flip":
            return v2.RandomVerticalFlip()
        case "depth_flip":
            return transforms.DepthFlip()
        case "quarter_turn":
            return transforms.QuarterTurn()
        case "shift" | Shift():
            by = Shift() if isinstance(entry, str) else entry
            most = [max(1, int(side * by.fraction)) for side in size]
            if len(size) == 3:
                return transforms.VolumeShift(most)
            return v2.RandomCrop(tuple(size), padding=(most[1], most[0]), padding_mode="edge")
        case "rotation" | Rotation():
            degrees = (Rotation() if isinstance(entry, str) else entry).degrees
            fill = {masks: IGNORE, "others": 0}
            return v2.RandomRotation(degrees, interpolation=v2.InterpolationMode.BILINEAR, fill=fill)
        case "intensity" | Intensity():
            strength = (Intensity() if isinstance(entry, str) else entry).strength
            if normalized:
                return transforms.Intensity(strength)
            return v2.ColorJitter(brightness=strength, contrast=strength)
        case _:
            jitter = entry if isinstance(entry, ColourJitter) else ColourJitter()
            return v2.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
