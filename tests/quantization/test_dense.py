"""The analysis of layers where there is a label for each pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data.base import IGNORE
from edgekit.data.prepared import Prepared
from edgekit.quantization import sensitivity
from edgekit.quantization.give_back import Problem
from edgekit.quantization.settings import Calibration
from edgekit.recipe import Gates
from tests.dense_data import dense_data


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder: Path = tmp_path_factory.mktemp("boxes")
    return dense_data(folder, 2)


def test_all_windows_where_they_are_few(boxes: Prepared) -> None:
    images = sensitivity.choose(boxes, 512)
    assert list(images.indices) == list(range(8))
    assert images.dense
    assert boxes.classes[images.rarest] == "small"
    told = images.described()
    assert (told["images"], told["available"], told["drawn"]) == (8, 8, "all")
    assert told["rarest_class_images"] == sum(bool((one == 2).any()) for one in boxes.targets("val"))


def test_half_of_the_windows_hold_foreground(boxes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.zeros((8, 3), dtype=np.int64)
    held[:, 0] = 9
    held[[2, 5], 2] = 1
    monkeypatch.setattr(sensitivity, "contents", lambda data, split: held)
    images = sensitivity.choose(boxes, 4)
    assert {2, 5} <= set(images.indices)
    assert len(images.indices) <= 4
    assert "half of them evenly" in images.described()["drawn"]


def test_no_more_pixels_than_memory_holds(boxes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sensitivity.how_many(Calibration(), boxes) == 512
    monkeypatch.setattr(sensitivity, "_PIXELS", 5 * 16 * 16)
    assert sensitivity.how_many(Calibration(), boxes) == 5
    asked = Calibration(sensitivity=True, sensitivity_images=100)
    assert sensitivity.how_many(asked, boxes) == 100


def test_figures_of_pixels_that_count(boxes: Prepared) -> None:
    images = sensitivity.choose(boxes, 512)
    random = np.random.default_rng(0)
    reference = random.normal(size=(8, 3, 16, 16)).astype(np.float32)
    changed = reference + random.normal(size=reference.shape).astype(np.float32) * 0.5
    found = sensitivity.figures(changed, reference, images)
    assert set(found) == {*sensitivity.COLUMNS, *sensitivity.DENSE_COLUMNS}
    counts = images.labels != IGNORE
    same = changed.argmax(1) == reference.argmax(1)
    assert found["agreement"] == pytest.approx(same[counts].mean())
    assert found["accuracy"] == pytest.approx((changed.argmax(1) == images.labels)[counts].mean())
    p, q = (np.exp(one - np.logaddexp.reduce(one, axis=1, keepdims=True)) for one in (reference, changed))
    assert found["kl"] == pytest.approx((p * np.log(p / q)).sum(1)[counts].mean(), rel=1e-4)
    overlaps = []
    for k in (1, 2):
        one, other = ((values.argmax(1) == k)[counts] for values in (reference, changed))
        overlaps.append(2 * (one & other).sum() / (one.sum() + other.sum()))
    assert found["mask_dice"] == pytest.approx(np.mean(overlaps))
    # Shifting all classes alike changes nothing.
    shifted = sensitivity.figures(reference + 3, reference, images)
    assert (shifted["agreement"], shifted["mask_dice"]) == (1, 1)
    assert shifted["logit_error"] == pytest.approx(0, abs=1e-9)
    broken = np.full_like(reference, np.nan)
    assert set(sensitivity.figures(broken, reference, images).values()) == {None}


def test_no_mask_at_all_agrees_with_none(boxes: Prepared) -> None:
    images = sensitivity.choose(boxes, 512)
    nothing = np.zeros((8, 3, 16, 16), dtype=np.float32)
    nothing[:, 0] = 1
    some = nothing.copy()
    some[0, 2, 8, 8] = 2
    assert sensitivity.figures(nothing, nothing, images)["mask_dice"] == 1
    assert sensitivity.figures(some, nothing, images)["mask_dice"] == 0


@pytest.mark.parametrize(
    ("mask_dice", "mean_dice", "holds"),
    [(0.95, 0.8, True), (0.85, 0.8, False), (0.95, 0.78, False), (None, 0.8, False)],
)
def test_the_gates_are_on_dice(mask_dice: float | None, mean_dice: float, holds: bool) -> None:
    row = {"mask_dice": mask_dice, "mean_dice": mean_dice, "kl": 0.1, "agreement": 0.1, "accuracy": 0.1}
    problem = Problem(lambda kept: row, 0.81, Gates(int8_min_mask_dice=0.9, max_dice_drop=0.01), {}, dense=True)
    assert problem.holds(()) is holds
    assert set(problem.figures(())) == {"mask_dice", "mean_dice", "kl"}
