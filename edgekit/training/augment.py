"""Random changes of training images that keep the diagnosis, with torchvision's v2 transforms.

They work on the images as they are stored, before normalization: colour jitter is defined on images of 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, model_validator

from edgekit.schema import Frozen

if TYPE_CHECKING:
    from torch import Tensor

#: Changes that have no strength, or their usual one.
Name = Literal[
    "horizontal_flip", "vertical_flip", "quarter_turn", "shift", "intensity", "rotation", "colour_jitter"
]


class Shift(Frozen):
    """Moves the image; the edge pixels are repeated."""

    kind: Literal["shift"] = "shift"
    fraction: float = Field(default=0.1, gt=0, le=0.5, description="largest shift, as a part of the side")


class Intensity(Frozen):
    """Changes brightness and contrast."""

    kind: Literal["intensity"] = "intensity"
    strength: float = Field(default=0.1, gt=0, le=1, description="largest change of either factor")


class Rotation(Frozen):
    """Turns the image about its centre; what comes in at the corners is black."""

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


def transform(entries: Sequence[Augmentation], size: tuple[int, int]) -> Callable[[Tensor], Tensor] | None:
    """One transform of an image ``uint8[C, H, W]`` that does all of ``entries`` in their order; none for none.

    It draws from PyTorch's global generator. Flips act on every second image, quarter turns by 0, 90, 180 or 270
    degrees (square images).

    Args:
        entries: what the recipe names.
        size: height and width in pixels.
    """
    if not entries:
        return None
    from edgekit.zoo import torchvision_shim

    torchvision_shim.declare()
    from torchvision.transforms import v2

    composed: Callable[[Tensor], Tensor] = v2.Compose([_make(entry, size, v2) for entry in entries])
    return composed


def augment(pixels: NDArray[np.uint8], change: Callable[[Tensor], Tensor]) -> NDArray[np.uint8]:
    """``pixels`` ``uint8[n, H, W, C]`` with ``change`` drawn anew for each image."""
    import torch

    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    changed: NDArray[np.uint8] = torch.stack([change(image) for image in images]).permute(0, 2, 3, 1).numpy()
    return changed


def _make(entry: Augmentation, size: tuple[int, int], v2: Any) -> Any:
    match entry:
        case "horizontal_flip":
            return v2.RandomHorizontalFlip()
        case "vertical_flip":
            return v2.RandomVerticalFlip()
        case "quarter_turn":
            return v2.Lambda(_quarter_turn)
        case "shift" | Shift():
            by = Shift() if isinstance(entry, str) else entry
            down, across = (max(1, int(side * by.fraction)) for side in size)
            return v2.RandomCrop(size, padding=(across, down), padding_mode="edge")
        case "rotation" | Rotation():
            degrees = (Rotation() if isinstance(entry, str) else entry).degrees
            return v2.RandomRotation(degrees, interpolation=v2.InterpolationMode.BILINEAR)
        case "intensity" | Intensity():
            strength = (Intensity() if isinstance(entry, str) else entry).strength
            return v2.ColorJitter(brightness=strength, contrast=strength)
        case _:
            jitter = entry if isinstance(entry, ColourJitter) else ColourJitter()
            return v2.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)


def _quarter_turn(image: Tensor) -> Tensor:
    import torch

    return torch.rot90(image, int(torch.randint(4, ())), (1, 2))
