"""Random changes of training images that keep the diagnosis. All work on normalized batches ``[n, C, H, W]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Generator, Tensor

Augmentation = Literal["horizontal_flip", "vertical_flip", "quarter_turn", "shift", "intensity"]
#: Largest shift, as a part of the side.
SHIFT = 0.1
#: Largest change of contrast (a factor), and of brightness (in the unit of the normalized input).
INTENSITY = 0.1


def augment(batch: Tensor, kinds: tuple[Augmentation, ...], generator: Generator) -> Tensor:
    """``batch`` with each of ``kinds`` applied, drawn anew for each image.

    ``horizontal_flip`` and ``vertical_flip``: every second image. ``quarter_turn``: by 0, 90, 180 or 270 degrees
    (square images). ``shift``: up to ``SHIFT`` of each side, the edge pixels repeated. ``intensity``: contrast and
    brightness by up to ``INTENSITY``.
    """
    import torch

    count = len(batch)
    if "horizontal_flip" in kinds:
        chosen = torch.rand(count, generator=generator) < 0.5
        batch = torch.where(chosen.view(-1, 1, 1, 1), batch.flip(3), batch)
    if "vertical_flip" in kinds:
        chosen = torch.rand(count, generator=generator) < 0.5
        batch = torch.where(chosen.view(-1, 1, 1, 1), batch.flip(2), batch)
    if "quarter_turn" in kinds:
        turns = torch.randint(4, (count,), generator=generator)
        batch = torch.stack([torch.rot90(one, int(k), (1, 2)) for one, k in zip(batch, turns, strict=True)])
    if "shift" in kinds:
        batch = _shift(batch, generator)
    if "intensity" in kinds:
        factor, offset = (torch.rand(2, count, 1, 1, 1, generator=generator) * 2 - 1) * INTENSITY
        batch = batch * (1 + factor) + offset
    return batch


def _shift(batch: Tensor, generator: Generator) -> Tensor:
    import torch

    height, width = batch.shape[2:]
    reach = (int(height * SHIFT), int(width * SHIFT))
    padded = torch.nn.functional.pad(batch, (reach[1], reach[1], reach[0], reach[0]), mode="replicate")
    shifted = torch.empty_like(batch)
    for index in range(len(batch)):
        top, left = (int(torch.randint(2 * most + 1, (), generator=generator)) for most in reach)
        shifted[index] = padded[index, :, top : top + height, left : left + width]
    return shifted
