"""Images with their masks, and volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.data.base import IGNORE, Preprocessing
from edgekit.passes.base import PassError
from edgekit.training.augment import Augmentation, Rotation, augment_with_masks, transform
from edgekit.training.inputs import Inputs, check

FLAT: tuple[Augmentation, ...] = ("horizontal_flip", "vertical_flip", "quarter_turn", "shift")


def pairs(size: tuple[int, ...], count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks, and images of two channels that are 10 times the mask, so that each pixel says where it belongs."""
    masks = torch.randint(3, (count, *size), generator=torch.Generator().manual_seed(0))
    return (10.0 * masks).unsqueeze(1).expand(-1, 2, *size).clone(), masks


def run(entries: tuple[Augmentation, ...], size: tuple[int, ...]) -> list[torch.Tensor]:
    change = transform(entries, size, normalized=True)
    assert change is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return list(augment_with_masks(*pairs(size), change))


@pytest.mark.parametrize(
    ("size", "entry"),
    [((12, 12), one) for one in FLAT] + [((6, 12, 12), one) for one in (*FLAT, "depth_flip")],
)
def test_a_mask_moves_with_its_image(size: tuple[int, ...], entry: Augmentation) -> None:
    images, masks = run((entry,), size)
    before = pairs(size)[1]
    assert masks.dtype == torch.int64
    assert torch.equal(images[:, 0], 10.0 * masks)
    assert torch.equal(images[:, 1], images[:, 0])
    moved = [not torch.equal(a, b) for a, b in zip(masks, before, strict=True)]
    assert any(moved)
    assert len({one.numpy().tobytes() for one in masks}) == len(masks)


def test_a_volume_shifts_along_every_axis() -> None:
    ramp = torch.arange(8.0)
    for axis in range(3):
        volume = ramp.view([-1 if a == axis else 1 for a in range(3)]).expand(1, 8, 8, 8).repeat(16, 1, 1, 1)
        change = transform(("shift",), (8, 8, 8), normalized=True)
        assert change is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            moved, _ = augment_with_masks(volume[:, None], volume.long(), change)
        assert {int(one) for one in (moved[:, 0] - volume).abs().amax((1, 2, 3))} == {0, 1}


@pytest.mark.parametrize("size", [(21, 21), (5, 21, 21)])
def test_what_a_rotation_brings_in_is_ignored(size: tuple[int, ...]) -> None:
    images, masks = run((Rotation(degrees=40),), size)
    corner = masks[..., 0, 0].reshape(-1)
    assert bool((corner == IGNORE).any())
    assert set(masks.reshape(-1).tolist()) == {0, 1, 2, IGNORE}
    assert bool((images[:, 0][masks == IGNORE].abs() <= 20).all())
    centre = (..., size[-2] // 2, size[-1] // 2)
    assert torch.equal(masks[centre], pairs(size)[1][centre]), "it turns about the centre"


def test_intensity_of_normalized_images_leaves_masks_alone() -> None:
    images, masks = run(("intensity",), (6, 8, 8))
    before, truth = pairs((6, 8, 8))
    assert torch.equal(masks, truth)
    for one, other in zip(images, before, strict=True):
        factor = (one.max() - one.min()) / (other.max() - other.min())
        offset = one.min() - factor * other.min()
        assert 0.9 <= float(factor) <= 1.1
        assert abs(float(offset)) <= 0.1
        assert torch.allclose(one, factor * other + offset, atol=1e-5)


def test_inputs_of_eight_bit_images_and_of_volumes() -> None:
    entries: tuple[Augmentation, ...] = ("horizontal_flip", "intensity", "rotation")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    masks = (pixels[..., 0] > 128).astype(np.int64)
    spec = Preprocessing(size=(16, 16))
    inputs, targets = Inputs((), spec, True)(pixels, masks)
    assert torch.equal(inputs[:, 0] * 0.5 + 0.5 > 128 / 255, targets == 1)
    inputs, targets = Inputs(entries, spec, True)(pixels, masks)
    assert inputs.shape == (5, 3, 16, 16)
    assert float(inputs.abs().max()) <= 1
    assert targets.shape == masks.shape
    volume = Preprocessing(size=(8, 8, 8), channels=1, fit="window", normalization="per_image")
    stored = np.random.default_rng(0).normal(size=(3, 8, 8, 8, 1)).astype(np.float32)
    inputs, targets = Inputs((*entries, "depth_flip"), volume, False)(stored, np.zeros((3, 8, 8, 8), np.int64))
    assert inputs.shape == (3, 1, 8, 8, 8)
    assert inputs.dtype == torch.float32


@pytest.mark.parametrize(
    ("entry", "size", "eight_bit", "message"),
    [
        ("depth_flip", (8, 8), True, "'depth_flip' is for volumes"),
        (
            "colour_jitter",
            (8, 8, 8),
            False,
            "'colour_jitter' is for 8-bit images, these are volumes.*use intensity",
        ),
        ("colour_jitter", (8, 8), False, "'colour_jitter' is for 8-bit images, these are floating-point"),
        ("quarter_turn", (8, 8, 16), False, "'quarter_turn' needs square images, the input is 8x16"),
    ],
)
def test_what_is_not_defined_is_refused(
    entry: Augmentation, size: tuple[int, ...], eight_bit: bool, message: str
) -> None:
    with pytest.raises(PassError, match=f"finetune.augment: {message}"):
        check((entry,), size, eight_bit, "finetune")
