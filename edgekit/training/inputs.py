"""From what is stored of the training images to the inputs and targets of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import preprocess
from edgekit.passes.base import PassError
from edgekit.training.augment import Augmentation, augment, augment_with_masks, kind_of, transform

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.data.base import Preprocessing


class Inputs:
    """Makes the inputs and targets of a batch from what is stored.

    Args:
        entries: what the recipe names; see ``check``.
        spec: the recipe's ``input``.
        eight_bit: whether the images are stored with 8 bits a channel.
    """

    def __init__(self, entries: Sequence[Augmentation], spec: Preprocessing, eight_bit: bool) -> None:
        self._spec = spec
        self._early = eight_bit and len(spec.size) == 2
        self._change = transform(entries, spec.size, not self._early)

    def __call__(self, pixels: NDArray[Any], targets: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Inputs ``float32[n, C, *size]`` and targets, changed at random.

        Args:
            pixels: ``[n, *size, C]`` as stored.
            targets: ``int64[n]``, or masks ``int64[n, *size]``.
        """
        import torch

        wanted = torch.from_numpy(np.array(targets))  # a copy: torch takes no read-only array
        change = self._change
        if change is None:
            return torch.from_numpy(preprocess.normalize(pixels, self._spec)), wanted
        if self._early:
            if wanted.ndim == 1:
                pixels = augment(pixels, change)
            else:
                images, wanted = augment_with_masks(torch.from_numpy(pixels).movedim(-1, 1), wanted, change)
                pixels = images.movedim(1, -1).numpy()
            return torch.from_numpy(preprocess.normalize(pixels, self._spec)), wanted
        inputs = torch.from_numpy(preprocess.normalize(pixels, self._spec))
        if wanted.ndim == 1:
            return torch.stack([change(image) for image in inputs]), wanted
        return augment_with_masks(inputs, wanted, change)


def check(entries: Sequence[Augmentation], size: Sequence[int], eight_bit: bool, where: str) -> None:
    """Refuse what is not defined for these images.

    Args:
        entries: what the recipe names.
        size: height and width, or depth, height and width.
        eight_bit: whether the images are stored with 8 bits a channel.
        where: for the messages of errors.

    Raises:
        PassError: names it.
    """
    height, width = size[-2:]
    volumes = len(size) == 3
    for kind in map(kind_of, entries):
        problem, remedy = None, "leave it out"
        if kind == "quarter_turn" and height != width:
            problem = f"needs square images, the input is {height}x{width}"
            remedy = "leave it out, or change input.size"
        elif kind == "depth_flip" and not volumes:
            problem = "is for volumes, the images have no depth"
        elif kind == "colour_jitter" and (volumes or not eight_bit):
            what = "volumes" if volumes else "floating-point"
            problem, remedy = f"is for 8-bit images, these are {what}", "use intensity"
        if problem is not None:
            raise PassError(f"'{kind}' {problem}", where=f"{where}.augment", remedy=remedy)
