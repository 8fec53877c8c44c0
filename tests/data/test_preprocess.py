from __future__ import annotations

import numpy as np
import pytest

from edgekit.data.base import Preprocessing
from edgekit.data.preprocess import apply, apply_to_mask, normalize

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.stack([GRAY, 255 - GRAY, np.full_like(GRAY, 9)], axis=2)
ONE = Preprocessing(size=(8, 8), channels=1, mean=(0.5,), std=(0.25,))
THREE = Preprocessing(size=(8, 8), mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))


def test_gray_is_repeated_and_colour_reduced() -> None:
    assert np.array_equal(apply(GRAY, THREE), np.repeat(GRAY[:, :, None], 3, axis=2))
    assert np.array_equal(apply(GRAY, ONE)[..., 0], GRAY)
    assert np.array_equal(apply(COLOUR, THREE), COLOUR)
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(apply(COLOUR, ONE)[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("image", [GRAY, COLOUR])
def test_resizes_to_height_and_width(method: str, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    spec = THREE.model_copy(update={"size": (16, 12), "resize": method})
    result = apply(image, spec)
    assert result.shape == (16, 12, 3)
    assert result.dtype == np.uint8
    assert result[..., 0].mean() == pytest.approx(GRAY.mean(), abs=4)


def test_shrinking_averages() -> None:
    board = ((np.indices((32, 32)).sum(axis=0) % 2) * 255).astype(np.uint8)
    assert np.ptp(apply(board, ONE)[2:-2, 2:-2]) <= 8


def test_masks_keep_their_values() -> None:
    mask = (GRAY > 100).astype(np.uint8) * 7
    assert set(apply_to_mask(mask, THREE.model_copy(update={"size": (20, 30)})).ravel().tolist()) == {0, 7}


def test_per_image_gives_each_channel_mean_0_and_deviation_1() -> None:
    spec = Preprocessing(size=(16, 16), normalization="per_image")
    result = apply(COLOUR, spec)
    assert result.dtype == np.float32
    assert result.shape == (16, 16, 3)
    assert result.mean(axis=(0, 1)) == pytest.approx([0, 0, 0], abs=1e-5)
    assert result.std(axis=(0, 1)) == pytest.approx([1, 1, 0], abs=1e-5), "a channel of one value becomes 0"
    assert np.array_equal(normalize(result[None], spec)[0], np.moveaxis(result, -1, 0))


def test_windows_and_volumes_are_not_resized() -> None:
    window = THREE.model_copy(update={"size": (16, 16), "fit": "window"})
    assert np.array_equal(apply(COLOUR, window), COLOUR)
    spec = Preprocessing(size=(8, 8, 8), fit="window", channels=1, scale=100.0, mean=(0.4,), std=(2.0,))
    volume = np.random.default_rng(0).normal(size=(9, 8, 11)).astype(np.float32)
    result = apply(volume, spec)
    assert np.array_equal(result[..., 0], volume)
    inputs = normalize(result[None], spec)
    assert inputs.shape == (1, 1, 9, 8, 11)
    assert inputs[0, 0] == pytest.approx((volume / 100 - 0.4) / 2, abs=1e-6)


def test_normalizes_by_channel() -> None:
    images = np.stack([COLOUR, COLOUR[::-1]])
    result = normalize(images, THREE)
    assert result.shape == (2, 3, 8, 8)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    expected = (images[1, 2, 3, 1] / 255 - 0.2) / 2.0
    assert result[1, 1, 2, 3] == pytest.approx(expected, abs=1e-6)
