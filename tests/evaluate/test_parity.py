"""Differences between logits, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from edgekit.errors import InputError
from edgekit.evaluate import parity
from edgekit.evaluate.parity import Parity, compare, worst


def test_differences_and_agreement() -> None:
    source = np.array([[1.0, -4.0], [2.0, 1.9], [0.0, 3.0], [1.0, 0.0]])
    artifact = source.copy()
    artifact[1] = [1.8, 1.9]
    result = compare(source, artifact)
    assert result.max_abs == pytest.approx(0.2)
    assert result.relative == pytest.approx(0.05)
    assert (result.argmax_agreement, result.images, result.problem) == (0.75, 4, None)


def test_equal_logits_name_the_first_class() -> None:
    # The source prefers class 1, the artifact's rounding makes both equal: class 0, a disagreement.
    assert compare([[1.0, 1.01]], [[1.0, 1.0]]).argmax_agreement == 0.0


def test_float32_is_compared_in_float64() -> None:
    source = np.array([[1e8, 0.0]], dtype=np.float32)
    artifact = np.array([[1e8, 1e-3]], dtype=np.float32)
    assert compare(source, artifact).max_abs == pytest.approx(1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_artifact_that_is_not_finite_has_a_problem_and_no_figures(bad: float) -> None:
    artifact = np.ones((3, 2))
    artifact[2, 0] = bad
    result = compare(np.ones((3, 2)), artifact)
    assert (result.max_abs, result.relative, result.argmax_agreement) == (None, None, None)
    assert result.problem == "the artifact's logits are not finite (NaN or infinite) for 1 of 3 images"


def test_other_shape_and_zero_source() -> None:
    assert "are [3, 4], the source's [3, 2]" in str(compare(np.ones((3, 2)), np.ones((3, 4))).problem)
    assert "nothing can be compared" in str(compare(np.zeros((3, 2)), np.ones((3, 2))).problem)


def test_a_bad_source_is_an_error() -> None:
    with pytest.raises(InputError, match="source's logits are not finite for 1 of 2 images"):
        compare([[1.0, 2.0], [np.nan, 0.0]], np.ones((2, 2)))
    with pytest.raises(InputError, match=r"must be \[images, classes\]"):
        compare(np.zeros((0, 2)), np.zeros((0, 2)))


def segmented(masks: NDArray[np.int64], classes: int, seed: int = 0) -> NDArray[np.float32]:
    """Logits ``[n, classes, *window]`` whose argmax is ``masks``."""
    noise = np.random.default_rng(seed).uniform(-1, 1, (masks.shape[0], classes, *masks.shape[1:]))
    return (noise + 4.0 * np.moveaxis(np.eye(classes)[masks], -1, 1)).astype(np.float32)


@pytest.mark.parametrize("window", [(8, 10), (4, 6, 5)])
@pytest.mark.parametrize("block", [1, 300, 1_000_000])
def test_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, window: tuple[int, ...], block: int) -> None:
    monkeypatch.setattr(parity, "_BLOCK", block)
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 3, (2, 7, *window))
    after = np.where(rng.random(after.shape) < 0.8, before, after)
    source, artifact = segmented(before, 3), segmented(after, 3, seed=2)
    np.save(tmp_path / "source.npy", source)
    result = compare(np.load(tmp_path / "source.npy", mmap_mode="r"), artifact)
    assert result.images == 7
    assert result.max_abs == pytest.approx(np.abs(source.astype(np.float64) - artifact).max())
    assert result.relative == pytest.approx(np.abs(source - artifact).max() / np.abs(source).max())
    assert result.argmax_agreement == pytest.approx((before == after).mean())
    dices = [sk.f1_score((before == k).ravel(), (after == k).ravel()) for k in (1, 2)]
    assert result.mask_dice == pytest.approx(np.mean(dices))


def test_empty_masks_agree_and_do_not_raise_the_overlap_of_others() -> None:
    empty = np.zeros((9, 8, 8), dtype=np.int64)
    assert compare(segmented(empty, 2), segmented(empty, 2, 1)).mask_dice == 1.0
    before, after = empty.copy(), empty.copy()
    before[0, :4] = 1
    after[0, :2] = 1
    assert compare(segmented(before, 3), segmented(after, 3)).mask_dice == pytest.approx(2 / 3)
    assert compare(segmented(before, 2), segmented(empty, 2)).mask_dice == 0.0
    # A window that holds one pixel of the class does not outweigh the others.
    sliver = before.copy()
    sliver[5, 0, 0] = 1
    assert compare(segmented(before, 2), segmented(sliver, 2)).mask_dice == pytest.approx(64 / 65)


def test_classification_has_no_masks() -> None:
    assert compare([[1.0, 0.0]], [[1.0, 0.0]]).mask_dice is None


def test_problems_of_windows() -> None:
    source = segmented(np.zeros((3, 8, 8), dtype=np.int64), 2)
    bad = source.copy()
    bad[1, 0, 3, 3] = np.nan
    result = compare(source, bad)
    assert result.problem == "the artifact's logits are not finite (NaN or infinite) for 1 of 3 windows"
    assert (result.relative, result.mask_dice) == (None, None)
    with pytest.raises(InputError, match="not finite for 1 of 3 windows"):
        compare(bad, source)
    with pytest.raises(InputError, match=r"or \[windows, classes, \*window\] and not empty \(got \[2, 3, 4\]\)"):
        compare(np.ones((2, 3, 4)), np.ones((2, 3, 4)))


def test_the_worst_of_several() -> None:
    found = worst([Parity(0.1, 1e-3, 0.9, 8), Parity(0.2, 5e-4, 1.0, 8, mask_dice=0.7)])
    assert found == Parity(0.2, 1e-3, 0.9, 16, mask_dice=0.7)
    lost = worst([Parity(0.1, 1e-3, 1.0, 8), Parity(None, None, None, 8, "not finite")])
    assert lost == Parity(None, None, None, 16, "not finite")
