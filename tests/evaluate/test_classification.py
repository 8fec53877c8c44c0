"""Figures against scikit-learn, the bootstrap against loops, and the degenerate splits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import classification
from edgekit.evaluate.calibration import ece
from edgekit.evaluate.figures import figures_of, softmax
from edgekit.record import Measurement

Floats = NDArray[np.float64]


def make(n: int, classes: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Logits that are right more often than not; every class has images."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.0
    return logits, labels


def by_name(rows: list[Measurement]) -> dict[str, Measurement]:
    return {row.metric: row for row in rows}


def value(rows: list[Measurement], metric: str) -> float:
    samples = by_name(rows)[metric].samples
    assert samples is not None
    return samples[0]


@pytest.mark.parametrize("classes", [2, 5])
def test_point_values_agree_with_scikit_learn(classes: int) -> None:
    logits, labels = make(300, classes)
    names = [f"c{k}" for k in range(classes)]
    rows = classification.evaluate("a", logits, labels, names, bootstrap=100, seed=0)
    p = softmax(logits)
    predicted = logits.argmax(axis=1)
    assert value(rows, "accuracy") == pytest.approx(sk.accuracy_score(labels, predicted))
    assert value(rows, "balanced_accuracy") == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert value(rows, "nll") == pytest.approx(sk.log_loss(labels, p))
    area = sk.roc_auc_score(labels, p[:, 1]) if classes == 2 else sk.roc_auc_score(labels, p, multi_class="ovr")
    assert value(rows, "auc") == pytest.approx(area)
    brier = np.mean([((p[i] - np.eye(classes)[labels[i]]) ** 2).sum() for i in range(len(labels))])
    assert value(rows, "brier") == pytest.approx(brier)
    assert value(rows, "ece") == pytest.approx(ece(p.max(axis=1), predicted == labels))
    recalls = sk.recall_score(labels, predicted, average=None)
    for k, name in enumerate(names):
        assert value(rows, f"sensitivity/{name}") == pytest.approx(recalls[k])
        others = sk.recall_score(labels != k, predicted != k)
        assert value(rows, f"specificity/{name}") == pytest.approx(others)
        assert by_name(rows)[f"sensitivity/{name}"].conditions["positives"] == (labels == k).sum()
        precision = sk.precision_score(labels == k, predicted == k)
        assert value(rows, f"ppv/{name}") == pytest.approx(precision)
        row = by_name(rows)[f"ppv/{name}"]
        among = int((predicted == k).sum())
        expected = stats.binomtest(round(precision * among), among).proportion_ci(0.95, "wilson")
        assert row.conditions["wilson_95"] == pytest.approx([expected.low, expected.high])
        assert value(rows, f"npv/{name}") == pytest.approx(sk.precision_score(labels != k, predicted != k))
    wrong = predicted != labels
    assert value(rows, "confidence_wrong") == pytest.approx(p.max(axis=1)[wrong].mean())


def test_each_resample_agrees_with_scikit_learn_on_the_drawn_images() -> None:
    logits, labels = make(60, 3)
    figures, reasons = figures_of(logits, labels, ["a", "b", "c"])
    assert reasons == {}
    checked = 0
    for weights in boot.resamples(60, 20, seed=3):
        got = {name: figure(weights) for name, figure in figures.items()}
        for row in range(weights.shape[0]):
            drawn = np.repeat(np.arange(60), weights[row].astype(int))
            z, y = logits[drawn], labels[drawn]
            p, predicted = softmax(z), z.argmax(axis=1)
            assert got["accuracy"][row] == pytest.approx(sk.accuracy_score(y, predicted))
            assert got["balanced_accuracy"][row] == pytest.approx(sk.balanced_accuracy_score(y, predicted))
            assert got["auc"][row] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
            assert got["nll"][row] == pytest.approx(sk.log_loss(y, p))
            assert got["ece"][row] == pytest.approx(ece(p.max(axis=1), predicted == y))
            assert got["specificity/b"][row] == pytest.approx(sk.recall_score(y != 1, predicted != 1))
            checked += 1
    assert checked == 20


def test_interval_of_accuracy_is_that_of_a_binomial_share() -> None:
    labels = np.zeros(400, dtype=np.int64)
    labels[:200] = 1
    logits = np.zeros((400, 2))
    logits[np.arange(400), labels] = 2.0
    logits[::4] = logits[::4, ::-1]  # a quarter wrong
    row = by_name(classification.evaluate("a", logits, labels, ["x", "y"], bootstrap=4000, seed=0))["accuracy"]
    expected = np.asarray(stats.binom.ppf([0.025, 0.975], 400, 0.75)) / 400
    assert row.interval is not None
    np.testing.assert_allclose(row.interval, expected, atol=0.005)
    assert row.method.endswith("bootstrap over images")
    assert row.conditions["resamples"] == 4000


def test_same_seed_gives_the_same_intervals_whatever_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = make(50, 3)
    names = ["a", "b", "c"]
    whole = classification.evaluate("a", logits, labels, names, 200, seed=1)
    monkeypatch.setattr(boot, "_BLOCK", 50 * 7)
    again = classification.evaluate("a", logits, labels, names, 200, seed=1)
    # A matrix product adds up in an order that depends on its size and the processor.
    for one, first in zip(again, whole, strict=True):
        assert one.model_copy(update={"interval": None}) == first.model_copy(update={"interval": None})
        assert one.interval == (first.interval and pytest.approx(first.interval, rel=1e-12, abs=1e-15))
    other = classification.evaluate("a", logits, labels, names, 200, seed=2)
    assert by_name(other)["nll"].interval != by_name(whole)["nll"].interval


def test_a_class_that_is_rarely_drawn_leaves_out_the_resamples_without_it() -> None:
    logits, labels = make(40, 2)
    labels[:] = 0
    labels[7] = 1
    rows = by_name(classification.evaluate("a", logits, labels, ["common", "rare"], 1000, seed=0))
    # Missing from (1 - 1/40)^40 = 36 % of the resamples.
    assert 580 < rows["sensitivity/rare"].conditions["resamples"] < 690
    assert rows["auc"].conditions["resamples"] == rows["sensitivity/rare"].conditions["resamples"]
    assert rows["accuracy"].conditions["resamples"] == 1000
    low, high = rows["sensitivity/rare"].conditions["wilson_95"]
    assert high - low > 0.7


def test_an_absent_class_is_not_measured_and_says_so() -> None:
    logits, labels = make(40, 3)
    labels[labels == 2] = 0
    rows = by_name(classification.evaluate("a", logits, labels, ["x", "y", "z"], 100, seed=0))
    assert rows["sensitivity/z"].not_measured_reason == "the test split has no image for class 'z'"
    assert rows["auc"].not_measured_reason == "the test split has no image of 'z'"
    assert rows["balanced_accuracy"].samples is None
    assert rows["specificity/z"].samples is not None
    assert rows["accuracy"].samples is not None


def test_one_class_only() -> None:
    logits = np.array([[3.0, 1.0], [0.0, 2.0], [2.0, 0.0]])
    measured = classification.evaluate("a", logits, np.zeros(3, dtype=np.int64), ["x", "y"], 100, seed=0)
    rows = by_name(measured)
    assert value(measured, "sensitivity/x") == pytest.approx(2 / 3)
    assert "no image of another class for class 'x'" in str(rows["specificity/x"].not_measured_reason)
    assert rows["auc"].samples is None


def test_everything_right_and_saturated_probabilities() -> None:
    labels = np.array([0, 1, 0, 1])
    logits = np.eye(2)[labels] * 2000.0
    rows = classification.evaluate("a", logits, labels, ["x", "y"], 100, seed=0)
    for metric in ("accuracy", "balanced_accuracy", "auc", "sensitivity/x", "specificity/x"):
        assert by_name(rows)[metric].samples == (1.0,)
    for metric in ("nll", "ece", "brier"):
        assert by_name(rows)[metric].samples == (0.0,)
        assert by_name(rows)[metric].interval == (0.0, 0.0)


def test_nll_of_a_saturated_wrong_answer_is_clipped_at_the_smallest_float() -> None:
    rows = classification.evaluate("a", [[2000.0, 0.0]], np.array([1]), ["x", "y"], 100, seed=0)
    assert value(rows, "nll") == pytest.approx(-np.log(np.finfo(np.float64).tiny))
    assert value(rows, "brier") == pytest.approx(2.0)
    assert value(rows, "ece") == pytest.approx(1.0)


def test_auc_still_orders_images_whose_probabilities_are_all_one() -> None:
    logits = np.array([[0.0, 50.0], [0.0, 60.0], [0.0, 70.0], [0.0, 80.0]])
    rows = classification.evaluate("a", logits, np.array([0, 0, 1, 1]), ["x", "y"], 100, seed=0)
    assert (softmax(logits)[:, 1] == 1.0).all()
    assert value(rows, "auc") == 1.0


def test_ties_of_quantized_logits_are_ties_whatever_their_rounding() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(-20, 20, (400, 2))
    labels = rng.integers(0, 2, 400)
    levels[np.arange(400), labels] += 5
    exact = sk.roc_auc_score(labels, levels[:, 1] - levels[:, 0])
    logits = (levels * np.float32(0.0371)).astype(np.float32)
    assert len(np.unique(logits[:, 1] - logits[:, 0])) > len(np.unique(levels[:, 1] - levels[:, 0]))
    assert value(classification.evaluate("a", logits, labels, ["x", "y"], 100, 0), "auc") == pytest.approx(exact)


def test_equal_scores_count_half() -> None:
    rows = classification.evaluate("a", np.zeros((6, 3)), np.array([0, 1, 2] * 2), list("xyz"), 100, seed=0)
    assert value(rows, "auc") == 0.5


def test_logits_that_are_not_finite_give_reasons_not_figures() -> None:
    logits, labels = make(10, 3)
    logits[4, 1] = np.nan
    rows = classification.evaluate("a", logits, labels, list("xyz"), 100, seed=0)
    assert [row.metric for row in rows] == classification.names(list("xyz"))
    reason = "logits are not finite for 1 of 10 images (first: image 4)"
    assert {row.not_measured_reason for row in rows} == {reason}


def test_not_measured_names_the_same_metrics_as_evaluate() -> None:
    logits, labels = make(20, 3)
    done = classification.evaluate("a", logits, labels, list("xyz"), 100, seed=0)
    missing = classification.not_measured("a", None, "the weights are random", list("xyz"))
    assert [(row.metric, row.unit) for row in missing] == [(row.metric, row.unit) for row in done]
    one = classification.not_measured("a", ["ece"], "the weights are random", ["x", "y"])
    assert [(row.metric, row.not_measured_reason) for row in one] == [("ece", "the weights are random")]
    with pytest.raises(InputError, match="unknown metric 'ecee'"):
        classification.not_measured("a", ["ecee"], "none", ["x", "y"])


@pytest.mark.parametrize(
    ("shape", "labels", "match"),
    [
        ((4, 3), [0, 1, 2], r"logits \[4, 3\] do not fit 3 labels and 3 classes"),
        ((3, 2), [0, 1, 0], "do not fit 3 labels and 3 classes"),
        ((0, 3), [], "do not fit 0 labels"),
        ((3, 3), [0, 1, 3], "whole numbers from 0 to 2"),
        ((3, 3), [0, -1, 2], "whole numbers from 0 to 2"),
        ((3, 3), [0.0, 1.0, 2.0], "whole numbers"),
    ],
)
def test_input_that_does_not_fit(shape: tuple[int, int], labels: list[float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        classification.evaluate("a", np.zeros(shape), np.array(labels), list("xyz"), 100, seed=0)


@pytest.mark.parametrize(("hits", "among"), [(0, 5), (5, 5), (3, 7), (480, 500)])
def test_wilson_agrees_with_scipy(hits: int, among: int) -> None:
    expected = stats.binomtest(hits, among).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(classification.wilson(hits, among), [expected.low, expected.high], atol=1e-12)


def test_what_is_not_defined_has_its_reason() -> None:
    labels = np.array([0, 1, 0, 1])
    right = classification.evaluate("a", np.eye(2)[labels] * 9, labels, ["x", "y"], 100, seed=0)
    assert by_name(right)["confidence_wrong"].not_measured_reason == "every prediction on the test split is right"
    one = np.tile([5.0, 0.0], (4, 1))
    rows = by_name(classification.evaluate("a", one, labels, ["x", "y"], 100, seed=0))
    reason = "no image of the test split is predicted as class 'y'"
    assert rows["ppv/y"].not_measured_reason == reason
    assert rows["npv/x"].not_measured_reason == "every image of the test split is predicted as class 'x'"
    assert rows["npv/y"].samples == (0.5,)
    assert value(list(rows.values()), "confidence_wrong") == pytest.approx(softmax(one).max())


def test_probabilities_of_0_and_1() -> None:
    logits = np.array([[800.0, 0.0], [0.0, 800.0], [800.0, 0.0]])
    rows = classification.evaluate("a", logits, np.array([0, 1, 1]), ["x", "y"], 100, seed=0)
    for metric in ("ece", "adaptive_ece", "classwise_ece"):
        assert value(rows, metric) == pytest.approx(1 / 3), metric
    assert value(rows, "confidence_wrong") == 1.0
    assert value(rows, "brier") == pytest.approx(2 / 3)


def test_the_difference_from_the_source_is_that_of_the_same_resamples() -> None:
    before, labels = make(80, 3)
    after = before + np.random.default_rng(1).normal(size=before.shape)
    names = ["a", "b", "c"]
    rows = by_name(classification.evaluate("a", after, labels, names, 200, 4, source=before))
    drawn = {}
    for key, logits in (("before", before), ("after", after)):
        figure = figures_of(logits, labels, names)[0]["nll"]
        drawn[key] = np.concatenate([figure(weights) for weights in boot.resamples(80, 200, 4)])
    change = rows["nll"].conditions["less_source"]
    expected = np.quantile(drawn["after"] - drawn["before"], [0.025, 0.975])
    assert change["interval"] == pytest.approx(expected)
    source = classification.evaluate("source", before, labels, names, 200, 4)
    assert change["value"] == pytest.approx(value([rows["nll"]], "nll") - value(source, "nll"))
    counted = rows["accuracy"].conditions["less_source"]
    assert counted["images"] == 80
    assert (counted["won"] - counted["lost"]) / 80 == pytest.approx(counted["value"])
    # Balanced accuracy: half-widths of the classes, squared, added, over their number.
    parts = [rows[f"sensitivity/{one}"].conditions["less_source"] for one in names]
    up = np.sqrt(sum((one["interval"][1] - one["value"]) ** 2 for one in parts)) / 3
    balanced = rows["balanced_accuracy"].conditions["less_source"]
    assert balanced["interval"][1] == pytest.approx(balanced["value"] + up)
    assert "less_source" not in by_name(source)["nll"].conditions
