"""Models that are damaged on purpose are caught by the gate that is for it, and an undamaged one passes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.evaluate import check, classification
from edgekit.evaluate.paired import Pairs
from edgekit.evaluate.parity import Parity, compare
from edgekit.recipe import Gates
from edgekit.record import Gate, Measurement

CLASSES = ("common", "other", "rare")
IMAGES = {"common": 700, "other": 240, "rare": 60}
GATES = Gates(
    max_accuracy_drop=0.02,
    max_balanced_accuracy_drop=0.02,
    max_sensitivity_drop=0.1,
    max_ece_rise=0.02,
    max_nll_rise=0.05,
    int8_min_agreement=0.9,
)
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def model() -> tuple[Floats, NDArray[np.int64]]:
    """Logits whose softmax is the true probability of the classes: calibrated by construction."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), list(IMAGES.values()))
    centres = np.eye(3) * 4.0
    points = centres[labels] + rng.normal(size=(labels.size, 3)) * 1.6
    prior = np.log(np.bincount(labels) / labels.size)
    logits = -((points[:, None, :] - centres) ** 2).sum(axis=2) / (2 * 1.6**2) + prior
    return logits, labels


def judged(
    source: Floats, damaged: Floats, labels: NDArray[np.int64], gates: Gates = GATES
) -> tuple[dict[str, Gate], dict[str, Measurement]]:
    before = classification.evaluate("source", source, labels, CLASSES, 200, 0)
    after = classification.evaluate("a", damaged, labels, CLASSES, 200, 0, source=source)
    rows = check("a", "int8", compare(source, damaged), after, before, gates, True)
    return {row.name: row for row in rows}, {row.metric: row for row in after}


def lost(gates: dict[str, Gate]) -> set[str]:
    return {name for name, gate in gates.items() if not gate.passed}


def test_an_undamaged_model_passes(model: tuple[Floats, NDArray[np.int64]]) -> None:
    logits, labels = model
    rounded = logits + np.random.default_rng(0).normal(size=logits.shape) * 0.02
    gates, rows = judged(logits, rounded, labels)
    assert lost(gates) == set()
    assert set(gates) >= {"accuracy_drop", "balanced_accuracy_drop", "sensitivity_drop", "ece_rise", "nll_rise"}
    assert all(gate.undecided is None for gate in gates.values())
    for metric, row in rows.items():
        low, high = row.conditions["less_source"]["interval"]
        assert low <= 0.0 <= high, metric


def test_a_rare_class_that_is_lowered_is_caught(model: tuple[Floats, NDArray[np.int64]]) -> None:
    logits, labels = model
    damaged = logits.copy()
    damaged[:, 2] -= 2.0
    gates, rows = judged(logits, damaged, labels)
    # Accuracy does not see it.
    assert gates["accuracy_drop"].passed
    assert {"sensitivity_drop", "balanced_accuracy_drop"} <= lost(gates)
    gate = gates["sensitivity_drop"]
    assert "'rare'" in gate.explanation
    change = rows["sensitivity/rare"].conditions["less_source"]
    assert gate.value == pytest.approx(-change["value"])
    assert change["mcnemar_p"] < 0.01
    assert change["interval"][1] < 0.0
    assert rows["sensitivity/common"].conditions["less_source"]["value"] >= 0.0


def test_an_overconfident_model_is_caught(model: tuple[Floats, NDArray[np.int64]]) -> None:
    logits, labels = model
    gates, rows = judged(logits, logits * 3.0, labels)
    assert lost(gates) == {"ece_rise", "nll_rise"}
    for metric in ("ece", "adaptive_ece", "classwise_ece", "nll", "confidence_wrong"):
        low, _ = rows[metric].conditions["less_source"]["interval"]
        assert low > 0.0, metric
    assert rows["accuracy"].conditions["less_source"]["value"] == 0.0


def test_few_images_decide_nothing(model: tuple[Floats, NDArray[np.int64]]) -> None:
    logits, labels = model
    few = np.concatenate([np.flatnonzero(labels == k)[:count] for k, count in enumerate((100, 100, 11))])
    gates, rows = judged(logits[few], logits[few], labels[few])
    gate = gates["sensitivity_drop"]
    assert (gate.passed, gate.value) == (False, None)
    assert gate.undecided is not None
    assert "sensitivity of 'rare'" in gate.undecided
    assert "'common'" not in gate.undecided
    assert rows["sensitivity/rare"].conditions["less_source"]["interval"] == pytest.approx(Pairs(11, 0, 0).interval)
    lenient = GATES.model_copy(update={"undecided": "pass"})
    allowed = judged(logits[few], logits[few], labels[few], lenient)[0]["sensitivity_drop"]
    assert allowed.passed
    assert allowed.undecided is not None


def test_by_interval_a_drop_that_the_images_do_not_rule_out_is_undecided(
    model: tuple[Floats, NDArray[np.int64]],
) -> None:
    logits, labels = model
    # 15 images of the common class are lost: 1.5 points, less than the 2 that are allowed.
    damaged = logits.copy()
    right = np.flatnonzero((logits.argmax(axis=1) == 0) & (labels == 0))[:15]
    damaged[right] = np.array([0.0, 1.0, 0.0])
    assert judged(logits, damaged, labels)[0]["accuracy_drop"].passed
    strict = GATES.model_copy(update={"decide_by": "interval"})
    gate = judged(logits, damaged, labels, strict)[0]["accuracy_drop"]
    assert gate.undecided is not None
    _, high = Pairs(1000, 15, 0).interval
    assert gate.interval is not None
    assert gate.interval[1] == pytest.approx(high)
    wide = judged(logits, damaged, labels, strict.model_copy(update={"max_accuracy_drop": 0.03}))[0][
        "accuracy_drop"
    ]
    assert wide.passed
    assert wide.value == pytest.approx(0.015)


def test_a_figure_that_only_the_artifact_lacks_is_a_failure_and_not_undecided() -> None:
    missing = [
        Measurement(artifact="a", metric=metric, unit="x", not_measured_reason="logits are not finite", method="m")
        for metric in ("accuracy", "ece")
    ]
    known = [
        Measurement(artifact="source", metric=metric, unit="x", samples=(0.1,), method="m")
        for metric in ("accuracy", "ece")
    ]
    gates = Gates(max_ece_rise=0.1, undecided="pass")
    rows = check("a", "int8", Parity(0.1, 0.1, 1.0, 8), missing, known, gates, True)
    assert [row.passed for row in rows] == [True, False, False]
    assert rows[2].undecided is None
    # Where neither has it, nothing is known.
    both = check("a", "int8", Parity(0.1, 0.1, 1.0, 8), missing, [], gates, True)
    assert all(row.undecided and row.passed for row in both[1:])


def test_images_of_one_patient_make_the_interval_wider(model: tuple[Floats, NDArray[np.int64]]) -> None:
    logits, labels = model
    # Twenty images a patient, who is lost whole.
    groups = np.arange(labels.size) // 20
    damaged = np.where((groups == 3)[:, None], logits - np.array([20.0, 0.0, 0.0]), logits)
    alone, together = (
        {
            row.metric: row.conditions["less_source"]["interval"]
            for row in classification.evaluate("a", damaged, labels, CLASSES, 400, 0, grouped, logits)
        }
        for grouped in (None, groups)
    )
    assert together["accuracy"][0] < alone["accuracy"][0] - 0.01
    assert together["nll"][1] > alone["nll"][1]
