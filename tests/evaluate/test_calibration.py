"""The calibration error against a plain loop over Guo's definition."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.evaluate.calibration import BINS, bin_index, ece, reliability


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
    with pytest.raises(InputError, match="no images"):
        ece([], [])
    with pytest.raises(InputError, match="at least 1 bin"):
        reliability([0.5], [True], bins=0)
