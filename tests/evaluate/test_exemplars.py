"""Exemplars of populations of models, and the changed predictions of one model of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mode, spearmanr

from edgekit.errors import InputError
from edgekit.evaluate.changed import MOST, changed
from edgekit.evaluate.exemplars import holste, hooker, prevalence, spearman
from edgekit.evaluate.figures import softmax


def test_hooker_agrees_with_the_modes_of_scipy() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    # Two labels and an odd number of models: no ties.
    before = np.where(rng.random((5, 200)) < 0.7, truth == 0, truth != 0).astype(np.int64)
    after = np.where(rng.random((5, 200)) < 0.6, truth == 0, truth != 0).astype(np.int64)
    expected = np.flatnonzero(mode(before, axis=0).mode != mode(after, axis=0).mode)
    assert expected.size > 10
    assert hooker(before, after).tolist() == expected.tolist()


def test_a_tie_within_a_population_is_no_change() -> None:
    before = np.array([[0, 0, 0], [1, 0, 1]])
    after = np.array([[1, 1, 2], [1, 1, 2]])
    # Image 0: labels 0 and 1 tie before, 1 after. Image 2: 0 and 1 tie before, neither is left after.
    assert hooker(before, after).tolist() == [1, 2]


def test_holste_agrees_with_the_rank_correlation_of_scipy() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 120, 8))
    before = softmax(logits.reshape(-1, 8)).reshape(logits.shape)
    after = softmax((logits + rng.normal(size=logits.shape) * 0.5).reshape(-1, 8)).reshape(logits.shape)
    means = before.mean(axis=0), after.mean(axis=0)
    rho = np.array([spearmanr(one, other).statistic for one, other in zip(*means, strict=True)])
    np.testing.assert_allclose(spearman(*means), rho, atol=1e-12)
    found = holste(before, after)
    assert len(found) == 6  # 5 % of 120
    assert rho[found].max() <= np.sort(rho)[6]
    assert set(found) >= set(np.flatnonzero(rho < np.sort(rho)[5]).tolist())


def test_holste_takes_no_image_that_did_not_change_and_needs_three_classes() -> None:
    p = softmax(np.random.default_rng(0).normal(size=(60, 4)))[None]
    assert holste(p, p).size == 0
    with pytest.raises(InputError, match="says only which is first"):
        holste(p[:, :, :2], p[:, :, :2])
    with pytest.raises(InputError, match="cannot be compared"):
        hooker(np.zeros((2, 5), dtype=np.int64), np.zeros((2, 4), dtype=np.int64))


def test_prevalence_is_the_share_in_a_group_over_that_in_the_rest() -> None:
    groups = ["f"] * 10 + ["m"] * 30
    rows = {one.group: one for one in prevalence([0, 1, 2, 15], groups)}
    assert (rows["f"].chosen, rows["f"].images) == (3, 10)
    assert rows["f"].ratio == pytest.approx((3 / 10) / (1 / 30))
    assert rows["m"].ratio == pytest.approx((1 / 30) / (3 / 10))
    assert [one.group for one in prevalence([15], groups)] == ["m", "f"]
    assert prevalence([15], groups)[0].ratio is None


def test_changed_predictions_come_with_the_greatest_loss_first() -> None:
    labels = np.array([0, 0, 1, 1])
    before = np.log([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    after = np.log([[0.8, 0.2], [0.1, 0.9], [0.6, 0.4], [0.3, 0.7]])
    found = changed("a", before, after, labels, ["w", "x", "y", "z"])
    assert found.count == 3
    assert [one.id for one in found.images] == ["x", "y", "z"]
    worst = found.images[0]
    assert (worst.image, worst.before, worst.after) == (1, 0, 1)
    assert (worst.true_before, worst.true_after) == pytest.approx((0.6, 0.1))
    # Won: the true class gained.
    assert found.images[2].true_after > found.images[2].true_before


def test_no_more_than_the_worst_are_kept() -> None:
    n = MOST + 50
    before, after = np.tile([1.0, 0.0], (n, 1)), np.tile([0.0, 1.0], (n, 1))
    found = changed("a", before, after, np.zeros(n, dtype=np.int64), [str(i) for i in range(n)])
    assert (found.count, len(found.images)) == (n, MOST)
