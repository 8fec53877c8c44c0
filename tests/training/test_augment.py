from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from edgekit.training.augment import Augmentation, ColourJitter, Rotation, Shift, augment, kind_of, transform

ADAPTER: TypeAdapter[Augmentation] = TypeAdapter(Augmentation)
NAMES: tuple[Augmentation, ...] = (
    "horizontal_flip",
    "vertical_flip",
    "quarter_turn",
    "shift",
    "intensity",
    "rotation",
    "colour_jitter",
)


def run(pixels: NDArray[np.uint8], *entries: Augmentation, seed: int = 0) -> NDArray[np.uint8]:
    change = transform(entries, (pixels.shape[1], pixels.shape[2]))
    assert change is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return augment(pixels, change)


def noise(count: int = 8, side: int = 16, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["horizontal_flip", "vertical_flip", "quarter_turn"])
def test_moves_pixels_only(kind: Augmentation) -> None:
    pixels = noise()
    result = run(pixels, kind)
    assert not np.array_equal(result, pixels)
    for before, after in zip(pixels, result, strict=True):
        possible = [before[:, ::-1], before[::-1], *(np.rot90(before, k) for k in range(4))]
        assert any(np.array_equal(after, one) for one in possible)


def test_shift_repeats_the_edge() -> None:
    pixels = np.arange(40, dtype=np.uint8)[None, None, :, None].repeat(6, 0).repeat(20, 1)
    result = run(pixels, "shift")
    assert result.shape == pixels.shape
    moved = np.abs(result.astype(int) - pixels).max(axis=(1, 2, 3))
    assert moved.max() <= 4
    assert len(set(moved)) > 1
    assert np.abs(run(pixels, Shift(fraction=0.5)).astype(int) - pixels).max() > 4


def test_rotation_turns_within_its_degrees() -> None:
    bar = np.zeros((16, 33, 33, 1), dtype=np.uint8)
    bar[:, 16, :] = 255
    for degrees, entry in ((15.0, "rotation"), (40.0, Rotation(degrees=40))):
        angles = []
        for image in run(bar, entry)[..., 0]:  # type: ignore[arg-type]
            y, x = np.nonzero(image > 100)
            angles.append(np.degrees(np.arctan(np.polyfit(x, y, 1)[0])))
        assert max(np.abs(angles)) <= degrees + 1.5
        assert max(np.abs(angles)) > degrees / 2
        assert len({round(angle) for angle in angles}) > 4, "each image has its own angle"


def test_colour_jitter_works_on_images_as_stored() -> None:
    """On normalized values, half of them negative, its factors would mean something else."""
    gray = np.full((32, 8, 8, 3), 100, dtype=np.uint8)
    bright = run(gray, ColourJitter(brightness=0.2, contrast=0, saturation=0, hue=0))[:, 0, 0, 0]
    assert 80 <= bright.min() < 90
    assert 110 < bright.max() <= 120
    coloured = noise(1).repeat(6, 0)
    assert len({one.tobytes() for one in run(coloured, "colour_jitter")}) == 6
    one_channel = noise(channels=1)
    assert np.array_equal(run(one_channel, ColourJitter(brightness=0, contrast=0)), one_channel)


def test_intensity_stays_small() -> None:
    result = run(np.full((6, 4, 4, 1), 100, dtype=np.uint8), "intensity")
    assert result.min() >= 80
    assert result.max() <= 121
    assert len({int(one[0, 0, 0]) for one in result}) > 3


def test_same_seed_same_images() -> None:
    pixels = noise(side=24)
    assert np.array_equal(run(pixels, *NAMES, seed=5), run(pixels, *NAMES, seed=5))
    assert not np.array_equal(run(pixels, *NAMES, seed=5), run(pixels, *NAMES, seed=6))


def test_nothing_asked_nothing_done() -> None:
    assert transform((), (8, 8)) is None


def test_names_and_objects() -> None:
    assert [kind_of(ADAPTER.validate_python(name)) for name in NAMES] == list(NAMES)
    assert ADAPTER.validate_python({"kind": "rotation", "degrees": 10}) == Rotation(degrees=10)
    entry = ADAPTER.validate_python({"kind": "colour_jitter", "hue": 0.05})
    assert ADAPTER.validate_python(ADAPTER.dump_python(entry, mode="json")) == entry


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("rotate", "'rotation'"),
        ({"kind": "rotate"}, "'rotation'"),
        ({"kind": "rotation", "degrees": 0}, "greater than 0"),
        ({"kind": "rotation", "angle": 5}, "Extra inputs"),
        ({"kind": "colour_jitter", "hue": 0.6}, "less than or equal to 0.5"),
        (
            {"kind": "colour_jitter", "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
            "nothing would change",
        ),
    ],
)
def test_unknown_or_senseless(written: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(written)
