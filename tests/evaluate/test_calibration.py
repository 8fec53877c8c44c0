"""The calibration errors against plain loops over their definitions, torchmetrics and scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate.calibration import BINS, adaptive_ece, bin_index, classwise_ece, ece, reliability
from edgekit.evaluate.figures import softmax

#: Confidences and hits, among them ties on the edges of bins and probabilities of 0 and 1.
CASES = {
    "random": (np.random.default_rng(1).random(400), np.random.default_rng(2).random(400) < 0.6),
    "all right": (np.linspace(0.3, 1.0, 50), np.ones(50, dtype=bool)),
    "all wrong": (np.linspace(0.3, 1.0, 50), np.zeros(50, dtype=bool)),
    "on edges": (np.arange(0, BINS + 1).repeat(3) / BINS, np.arange(48) % 2 == 0),
    "0 and 1": (np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([False, True, False, True, True])),
    "ties": (np.full(40, 0.7), np.arange(40) % 4 != 0),
    "one image": (np.array([0.9]), np.array([True])),
}
each_case = pytest.mark.parametrize("name", list(CASES))


def test_agrees_with_the_definition() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(500)
    correct = rng.random(500) < confidence**2
    expected = 0.0
    for m in range(BINS):
        inside = (confidence > m / BINS) & (confidence <= (m + 1) / BINS)
        if inside.any():
            expected += inside.sum() / 500 * abs(correct[inside].mean() - confidence[inside].mean())
    assert ece(confidence, correct) == pytest.approx(expected)


@each_case
def test_agrees_with_torchmetrics(name: str) -> None:
    confidence, correct = CASES[name]
    # In single precision an edge such as 0.2 lies elsewhere; torchmetrics makes its edges in the default type.
    torch.set_default_dtype(torch.float64)
    try:
        expected = binary_calibration_error(torch.tensor(confidence), torch.tensor(correct).long(), n_bins=BINS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert ece(confidence, correct) == pytest.approx(float(expected))


@pytest.mark.parametrize("classes", [2, 5])
def test_of_a_classifier_agrees_with_torchmetrics(classes: int) -> None:
    rng = np.random.default_rng(classes)
    p, labels = softmax(rng.normal(size=(300, classes)) * 2), rng.integers(0, classes, 300)
    expected = multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), classes, n_bins=BINS)
    assert ece(p.max(axis=1), p.argmax(axis=1) == labels) == pytest.approx(float(expected))
    # Each class's own error is that of a binary classifier of this class.
    own = [
        binary_calibration_error(torch.tensor(p[:, k]), torch.tensor(labels == k).long(), n_bins=BINS)
        for k in range(classes)
    ]
    assert classwise_ece(p, labels) == pytest.approx(float(np.mean(own)))


def _by_quantiles(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    edges = np.quantile(confidence, np.linspace(0, 1, BINS + 1))
    edges[0], edges[-1] = -1.0, 2.0
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)


@each_case
def test_adaptive_agrees_with_the_definition(name: str) -> None:
    confidence, correct = CASES[name]
    assert adaptive_ece(confidence, correct) == pytest.approx(_by_quantiles(confidence, correct))


def test_adaptive_agrees_with_scikit_learn() -> None:
    confidence, correct = CASES["random"]
    confidence, correct = confidence[:390], correct[:390]  # 26 images a bin
    right, sure = calibration_curve(correct, confidence, n_bins=BINS, strategy="quantile")
    assert adaptive_ece(confidence, correct) == pytest.approx(np.abs(right - sure).mean())


def test_adaptive_bins_are_made_anew_for_each_resample() -> None:
    rng = np.random.default_rng(5)
    confidence = np.round(rng.random(60), 2)  # with ties
    correct = rng.random(60) < confidence
    for weights in boot.resamples(60, 30, seed=1):
        found = boot.equal_mass_error(weights, confidence, correct - confidence, BINS)
        for row, error in zip(weights, found, strict=True):
            drawn = np.repeat(np.arange(60), row.astype(int))
            assert error == pytest.approx(_by_quantiles(confidence[drawn], correct[drawn]))


def test_bins_are_open_below_and_closed_above() -> None:
    assert bin_index([0.0, 1e-12, 0.2, np.nextafter(0.2, 1), 1.0], bins=5).tolist() == [0, 0, 0, 1, 4]


def test_bars_count_every_image_and_leave_empty_bins_empty() -> None:
    rows = reliability([0.95, 0.99, 0.5], [True, False, True])
    assert len(rows) == 15
    assert sum(row["count"] for row in rows) == 3
    assert rows[-1] == {
        "lower": pytest.approx(14 / 15),
        "upper": 1.0,
        "count": 2,
        "confidence": pytest.approx(0.97),
        "accuracy": 0.5,
    }
    assert rows[0]["confidence"] is None
    assert rows[0]["accuracy"] is None


def test_calibrated_and_overconfident() -> None:
    assert ece([0.75] * 4, [1, 1, 1, 0]) == pytest.approx(0.0)
    assert ece([1.0] * 4, [1, 1, 0, 0]) == pytest.approx(0.5)


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="not within 0 to 1"):
        ece([1.2], [True])
    with pytest.raises(InputError, match="not within 0 to 1"):
        ece([np.nan], [True])
    with pytest.raises(InputError, match="two lists of one length"):
        reliability([0.5, 0.6], [True])
    for error in (ece, adaptive_ece):
        with pytest.raises(InputError, match="no images"):
            error([], [])
    with pytest.raises(InputError, match=r"must be \[n, classes\] and \[n\]"):
        classwise_ece([[0.5, 0.5]], [0, 1])
    with pytest.raises(InputError, match="at least 1 bin"):
        reliability([0.5], [True], bins=0)
