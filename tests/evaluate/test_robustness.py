"""Robustness on data of known answers: a model that blur makes blind is caught, one that is as good passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.corruptions import CORRUPTIONS
from edgekit.data.prepared import Prepared, prepare
from edgekit.errors import InputError
from edgekit.evaluate import robustness, robustness_figures, robustness_gate
from edgekit.evaluate.analyses import Robustness
from edgekit.evaluate.robustness import Plan, Run
from edgekit.recipe import Gates
from edgekit.record import Gate, Measurement
from tests.dense_data import dense_data

SETTINGS = Robustness(corruptions=("gaussian_blur", "contrast"), images=100)


@pytest.fixture(scope="module")
def sided(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Noise that is brighter on the left, or on the right: the class. One image in five is of the second."""

    def image(index: int) -> NDArray[np.uint8]:
        pixels = np.random.default_rng(index).integers(60, 120, (32, 32))
        pixels[:, 16 if index % 5 == 0 else 0 :][:, :16] += 80
        return pixels.astype(np.uint8)

    folder = tmp_path_factory.mktemp("sided")
    labels = np.array([int(index % 5 == 0) for index in range(150)])
    split = Split(150, image, labels, tuple(map(str, range(150))))
    spec = Preprocessing(size=(32, 32), channels=1, mean=(0.0,), std=(1.0,))
    splits = dict.fromkeys(SPLITS, split)
    prepare(Dataset("sided", ("left", "right"), splits), spec, folder, lambda fraction, text: None)
    return Prepared.open(folder)


def sound(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Which half is brighter: neither blur nor contrast changes it."""
    left, right = inputs[:, 0, :, :16].mean(axis=(1, 2)), inputs[:, 0, :, 16:].mean(axis=(1, 2))
    return np.stack([left - right, right - left], axis=1)


def blind_to_blur(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same, but without the fine grain of a sharp image it always says left."""
    logits = sound(inputs)
    logits[np.abs(np.diff(inputs[:, 0], axis=2)).mean(axis=(1, 2)) < 0.04] = (1.0, -1.0)
    return logits


def rounded(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = np.round(sound(inputs), 2)
    return logits


def measured(prepared: Prepared, planned: Plan, model: Run) -> list[Measurement]:
    before = robustness.answers(prepared, planned, sound, 16, lambda fraction, text: None)
    after = robustness.answers(prepared, planned, model, 1, lambda fraction, text: None)
    return robustness_figures.rows("a", after, before, planned, prepared.dense, 300)


def judged(prepared: Prepared, model: Run, limit: float = 0.05) -> tuple[dict[str, Measurement], Gate]:
    planned = robustness.plan(SETTINGS, "CT", prepared, 0)
    rows = measured(prepared, planned, model)
    return {one.metric: one for one in rows}, robustness_gate.check("a", rows, limit, Gates())


def test_a_model_that_is_blind_to_blur_is_caught(sided: Prepared) -> None:
    rows, gate = judged(sided, blind_to_blur)
    assert rows["robust_error/clean"].samples == (0.0,)
    # All images of the second class are wrong once they are blurred: half of the balanced accuracy.
    assert rows["robust_error/gaussian_blur/5"].samples == (0.5,)
    assert rows["robust_error_rise/contrast"].samples is not None
    assert not gate.passed
    assert "under gaussian blur the error rises by" in gate.explanation
    assert "undecided" not in gate.explanation


def test_an_undamaged_one_passes(sided: Prepared) -> None:
    rows, gate = judged(sided, rounded)
    assert gate.passed, gate.explanation
    assert rows["mean_robust_error"].conditions["images"] == 100
    assert rows["mean_robust_error"].conditions["fewest_images_of_a_class"] == 30


def test_a_loss_on_clean_images_as_well_is_no_matter_of_robustness(sided: Prepared) -> None:
    def always_left(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(inputs), 1))

    rows, gate = judged(sided, always_left)
    assert rows["robust_error/clean"].samples == (0.5,)
    assert gate.passed


def test_too_few_images_leave_it_undecided(sided: Prepared) -> None:
    _, gate = judged(sided, rounded, limit=0.01)
    assert not gate.passed
    assert gate.value is None
    assert "undecided" in gate.explanation
    assert "only 300 images could show that" in gate.explanation


def test_what_was_not_measured_is_undecided() -> None:
    missing = robustness_gate.check("a", [], 0.05, Gates())
    assert not missing.passed
    assert missing.undecided == "the error on corrupted images was not measured: no such figure in the record"
    assert robustness_gate.check("a", [], 0.05, Gates(undecided="pass")).passed


def test_errors_against_a_loop_over_images(sided: Prepared) -> None:
    """Error, rise and relative error by their definitions, from answers that were drawn."""
    planned = robustness.plan(SETTINGS, "CT", sided, 0)
    random = np.random.default_rng(0)
    shape = (1 + 2 * 5, len(planned.chosen))
    own, source = (random.random(shape) < share for share in (0.6, 0.8))

    def error(answers: NDArray[np.bool_], row: int) -> float:
        return 1 - float(np.mean([answers[row][planned.strata == k].mean() for k in (0, 1)]))

    rows = robustness_figures.rows("a", own.astype(np.float32), source.astype(np.float32), planned, False, 100)
    found = {one.metric: one for one in rows}
    assert found["robust_error/contrast/2"].samples == pytest.approx((error(own, 7),))
    mine, theirs = (np.mean([error(one, row) for row in range(6, 11)]) for one in (own, source))
    assert found["robust_error/contrast"].samples == pytest.approx((mine,))
    assert found["robust_error/contrast"].conditions["less_source"]["value"] == pytest.approx(mine - theirs)
    rise, reference = mine - error(own, 0), theirs - error(source, 0)
    assert found["robust_error_rise/contrast"].samples == pytest.approx((rise - reference,))
    relative = found["relative_robust_error/contrast"]
    assert relative.samples == pytest.approx((rise / reference,)) if reference >= 0.02 else relative.samples is None
    assert [one.metric for one in robustness_figures.not_measured("a", planned, False, "why")] == [*found]


def test_the_interval_is_that_of_many_draws(sided: Prepared) -> None:
    """Balanced accuracy of two classes, each image right or wrong by itself: its standard error is known."""
    planned = robustness.plan(SETTINGS, "CT", sided, 0)
    answers = np.tile((np.arange(len(planned.chosen)) % 10 < 7).astype(np.float32), (11, 1))
    row = robustness_figures.rows("a", answers, None, planned, False, 4000)[0]
    share = [answers[0][planned.strata == k].mean() for k in (0, 1)]
    error = np.sqrt(sum(p * (1 - p) / (planned.strata == k).sum() for k, p in enumerate(share))) / 2
    assert row.interval is not None
    assert row.interval[1] - row.interval[0] == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_images_are_chosen_class_by_class() -> None:
    labels = np.array([0] * 90 + [1] * 8 + [2] * 50)
    chosen = robustness.balanced(labels, 60)
    assert np.bincount(labels[chosen]).tolist() == [26, 8, 26]
    assert len(np.unique(chosen)) == len(chosen)
    assert robustness.balanced(labels, 1000).tolist() == list(range(148))


def test_a_segmentation_loses_dice(tmp_path: Path) -> None:
    prepared = dense_data(tmp_path, 3)
    planned = robustness.plan(Robustness(images=20), "CT", prepared, 0)
    assert planned.left_out == {
        name: "it moves pixels away from their masks"
        if CORRUPTIONS[name].moves
        else "it is not defined for images of 3 sides"
        for name in ("motion_blur", "jpeg_compression", "pixelation", "rotation", "translation")
    }

    def bright(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The brightest voxels are the small box, those of middle gray the large one."""
        levels = np.array([-0.3, 1.8, 4.1], np.float32).reshape(1, 3, 1, 1, 1)
        logits: NDArray[np.float32] = -np.abs(inputs - levels)
        return logits

    answers = robustness.answers(prepared, planned, bright, 1, lambda fraction, text: None)
    assert answers.shape == (1 + 5 * len(planned.corruptions), 4)
    clean = answers[0].mean()
    noise = answers[[5]].mean()
    assert clean > 0.5
    assert noise < clean - 0.1
    rows = robustness_figures.rows("a", answers, answers, planned, True, 100)
    assert rows[0].samples == pytest.approx((1 - clean,), abs=1e-6)
    assert rows[0].conditions["cases"] == 4


def test_a_corruption_that_the_images_do_not_allow_is_refused(sided: Prepared) -> None:
    with pytest.raises(InputError, match="'colour_temperature' cannot be applied: the images are gray"):
        robustness.plan(Robustness(corruptions=("colour_temperature",)), "CT", sided, 0)


def test_logits_that_are_not_finite_count_as_wrong(sided: Prepared) -> None:
    planned = robustness.plan(SETTINGS, "CT", sided, 0)
    found = robustness.answers(
        sided, planned, lambda inputs: sound(inputs) * np.float32(np.nan), 8, lambda fraction, text: None
    )
    assert not found.any()
