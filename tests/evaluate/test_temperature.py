"""Temperature scaling against scipy's own minimiser, and what it does to a model that is too sure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from edgekit.errors import InputError
from edgekit.evaluate import classification
from edgekit.evaluate.figures import softmax
from edgekit.evaluate.temperature import SCALED, fit, measurements, not_measured


def _sure(factor: float, seed: int, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four classes that are ``factor`` times what they should be, and labels drawn by the right ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 1.5
    drawn = rng.random((n, 1)) < np.cumsum(softmax(logits), axis=1)
    return logits * factor, drawn.argmax(axis=1)


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 50.0])
def test_it_is_the_minimum_of_nll(factor: float) -> None:
    logits, labels = _sure(factor, 0)
    found = fit(logits, labels).value
    assert found is not None

    def nll(log_t: float) -> float:
        return float(log_loss(labels, softmax(logits / np.exp(log_t)), labels=range(4)))

    best = minimize_scalar(nll, bounds=(-6, 8), method="bounded", options={"xatol": 1e-9})
    assert nll(np.log(found)) <= best.fun + 1e-12
    assert found == pytest.approx(factor, rel=0.1)


def test_it_mends_calibration_on_other_images_and_changes_no_answer() -> None:
    found = fit(*_sure(3.0, 0))
    assert found.value is not None
    logits, labels = _sure(3.0, 1)
    before = {row.metric: row for row in classification.evaluate("a", logits, labels, list("wxyz"), 100, 0)}
    after = classification.evaluate("a", logits / found.value, labels, list("wxyz"), 100, 0)
    rows = {row.metric: row for row in measurements("a", found, after)}
    assert set(rows) == {"temperature", *SCALED}
    value = {name: (row.samples or (np.nan,))[0] for name, row in (before | rows).items()}
    assert value["temperature"] == found.value
    assert value["ece"] > 0.2
    assert value["ece_scaled"] < 0.04
    assert value["nll_scaled"] < value["nll"]
    assert value["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    assert rows["ece_scaled"].conditions["fitted_on"] == "val"


@pytest.mark.parametrize(
    ("logits", "labels", "why"),
    [
        (np.eye(3)[[0, 1, 2, 0]], [0, 1, 2, 0], "all 4 images of the validation split are right"),
        (np.eye(3)[[0, 1, 2, 0]], [1, 2, 0, 1], "tell nothing of the true class"),
        (np.zeros((4, 3)), [0, 1, 2, 0], "tell nothing of the true class"),
        (np.full((4, 3), np.nan), [0, 1, 2, 0], "not finite"),
    ],
)
def test_where_there_is_none_the_reason_stands_in_its_place(
    logits: np.ndarray, labels: list[int], why: str
) -> None:
    found = fit(logits, labels)
    assert found.value is None
    assert why in (found.problem or "")
    rows = measurements("a", found, ())
    assert {row.metric for row in rows} == {"temperature", *SCALED}
    assert all(why in (row.not_measured_reason or "") for row in rows)
    assert len(not_measured("a", "random weights")) == len(rows)


def test_wrong_shapes() -> None:
    with pytest.raises(InputError, match="do not fit"):
        fit(np.zeros((3, 2)), [0, 1])
