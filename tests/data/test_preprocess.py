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


def test_normalizes_by_channel() -> None:
    images = np.stack([COLOUR, COLOUR[::-1]])
    result = normalize(images, THREE)
    assert result.shape == (2, 3, 8, 8)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    expected = (images[1, 2, 3, 1] / 255 - 0.2) / 2.0
    assert result[1, 1, 2, 3] == pytest.approx(expected, abs=1e-6)
