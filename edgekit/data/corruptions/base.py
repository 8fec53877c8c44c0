"""What a corruption is: a function of an image, in five severities, that a scanner or a camera could commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
#: Image, level and random stream -> the corrupted image.
Apply = Callable[[Image, float, np.random.Generator], Image]
SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One corruption.

    The image that ``apply`` takes is ``float32[*sides, C]``, its intensity range scaled to 0 to 1. It gives an
    image of the same shape, which may leave that range: the caller clips it where the image's format would. All
    severities of one image draw the same random numbers, so that they differ in strength alone.

    Attributes:
        name: in recipes and records.
        apply: the function.
        levels: its strength at severities 1 to 5.
        meaning: what a level is, with its unit.
        source: where it comes from.
        moves: whether pixels move, so that masks no longer lie on their structures.
        sides: numbers of sides that it takes: 2 for images, 3 for volumes.
    """

    name: str
    apply: Apply
    levels: tuple[float, float, float, float, float]
    meaning: str
    source: str
    moves: bool = False
    sides: tuple[int, ...] = (2,)

    def at(self, image: Image, severity: int, random: np.random.Generator) -> Image:
        """The image at a severity of 1 to 5; a new one."""
        corrupted: Image = self.apply(image, self.levels[severity - 1], random).astype(np.float32, copy=False)
        return corrupted


def each_channel(image: Image, function: Callable[[Image], Image]) -> Image:
    """``function`` of each channel ``[*sides]``; gray that was repeated as colour stays gray."""
    if image.shape[-1] > 1 and bool((image == image[..., :1]).all()):
        return np.repeat(function(image[..., 0])[..., None], image.shape[-1], axis=-1)
    return np.stack([function(image[..., channel]) for channel in range(image.shape[-1])], axis=-1)


def one_for_gray(image: Image, random: np.random.Generator) -> Image:
    """Standard normal noise of the image's shape, the same in all channels where the image is gray."""
    noise = random.standard_normal(image.shape, dtype=np.float32)
    gray = image.shape[-1] > 1 and bool((image == image[..., :1]).all())
    return np.repeat(noise[..., :1], image.shape[-1], axis=-1) if gray else noise
