"""Which gates a precision meets, where they fail, and what they say."""

from __future__ import annotations

import pytest

from edgekit.evaluate.gates import check, check_open
from edgekit.evaluate.parity import Parity
from edgekit.recipe import Gates
from edgekit.record import Gate, Measurement


def accuracy(artifact: str, value: float) -> Measurement:
    return Measurement(artifact=artifact, metric="accuracy", unit="share", samples=(value,), method="test")


def judge(
    precision: str, parity: Parity, before: float = 0.85, after: float = 0.85, trained: bool = True
) -> dict[str, Gate]:
    rows = check(
        "a",
        precision,
        parity,
        [accuracy("a", after)],
        [accuracy("source", before)],
        Gates(),
        trained,
    )
    assert {row.artifact for row in rows} == {"a"}
    return {row.name: row for row in rows}


GOOD = Parity(2.1e-4, 2.1e-4, 1.0, 64)


def test_fp32_that_agrees() -> None:
    rows = judge("fp32", GOOD)
    assert list(rows) == ["parity/logits", "parity/agreement", "accuracy_drop"]
    assert all(row.passed for row in rows.values())
    expected = "logits differ by 2.1e-04 of the largest logit on 64 images; allowed 1.0e-03"
    assert rows["parity/logits"].explanation == expected
    assert rows["accuracy_drop"].explanation == (
        "accuracy 85.00% is equal to the source's 85.00%; a drop of at most 1.00 points is allowed"
    )


def test_fp32_fails_by_logits_and_by_one_class() -> None:
    assert not judge("fp32", Parity(0.1, 2e-3, 1.0, 64))["parity/logits"].passed
    row = judge("fp32", Parity(1e-5, 1e-5, 63 / 64, 64))["parity/agreement"]
    assert not row.passed
    assert row.explanation == "the same class as the source on 98.4% of 64 images; at least 99.9% required"


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp16"])
def test_reduced_precision_is_judged_by_its_classes(precision: str) -> None:
    rows = judge(precision, Parity(0.5, 0.05, 0.96, 64))
    assert list(rows) == ["parity/agreement", "accuracy_drop"]
    assert rows["parity/agreement"].passed
    assert not judge(precision, Parity(0.5, 0.05, 0.94, 64))["parity/agreement"].passed


def test_a_precision_that_nobody_knows_is_judged_as_fp32() -> None:
    assert not judge("unknown", Parity(0.5, 0.05, 1.0, 64))["parity/logits"].passed


@pytest.mark.parametrize(("after", "passed"), [(0.84, True), (0.8399, False), (0.90, True)])
def test_accuracy_drop(after: float, passed: bool) -> None:
    # 0.85 - 0.84 is 0.010000000000000009: a drop of exactly the limit passes.
    row = judge("int8", GOOD, 0.85, after)["accuracy_drop"]
    assert row.passed is passed
    assert row.value == pytest.approx(0.85 - after)


def test_what_could_not_be_measured_does_not_pass() -> None:
    broken = Parity(None, None, None, 64, "the artifact's logits are not finite")
    missing = Measurement(
        artifact="a", metric="accuracy", unit="share", not_measured_reason="logits are not finite", method="test"
    )
    rows = check("a", "fp32", broken, [missing], [accuracy("source", 0.9)], Gates(), True)
    assert [row.passed for row in rows] == [False, False, False]
    assert "the artifact's logits are not finite" in rows[0].explanation
    assert rows[2].explanation == "the accuracy of the artifact was not measured: logits are not finite"
    none = check("a", "int8", GOOD, [], [], Gates(), True)
    assert none[1].undecided == "the accuracy of the source was not measured: no such figure in the record"
    assert not none[1].passed


def test_random_weights() -> None:
    assert list(judge("fp32", GOOD, trained=False)) == ["parity/logits", "parity/agreement"]
    rows = judge("int8", Parity(0.5, 0.05, 0.4, 64), trained=False)
    assert rows["parity/agreement"].passed
    assert rows["parity/agreement"].limit is None
    assert rows["parity/agreement"].value == 0.4
    assert "not judged, since the weights are random" in rows["parity/agreement"].explanation
    assert not judge("int8", Parity(None, None, None, 64, "not finite"), trained=False)["parity/agreement"].passed


def test_the_newest_accuracy_of_this_artifact_counts() -> None:
    rows = [accuracy("a", 0.1), accuracy("a", 0.9), accuracy("b", 0.2)]
    gate = check("a", "int8", GOOD, rows, [accuracy("source", 0.9)], Gates(), True)[1]
    assert gate.value == 0.0


def segmentation(
    precision: str,
    parity: Parity,
    before: float = 0.85,
    after: float = 0.85,
    trained: bool = True,
    trained_int8: bool = False,
) -> dict[str, Gate]:
    dice = [
        Measurement(artifact=name, metric="mean_dice", unit="share", samples=(value,), method="test")
        for name, value in (("source", before), ("a", after))
    ]
    # The accuracy of pixels falls as well, and is not judged.
    own = [accuracy("a", 0.1), dice[1]]
    source = [accuracy("source", 0.9), dice[0]]
    rows = check("a", precision, parity, own, source, Gates(), trained, trained_int8=trained_int8, dense=True)
    return {row.name: row for row in rows}


def masks(dice: float | None, relative: float = 1e-4) -> Parity:
    return Parity(relative, relative, 0.9995, 64, mask_dice=dice)


def test_segmentation_is_judged_by_its_masks_and_its_dice() -> None:
    rows = segmentation("fp32", masks(0.995))
    assert list(rows) == ["parity/logits", "parity/agreement", "parity/masks", "dice_drop"]
    assert all(row.passed for row in rows.values())
    assert rows["parity/logits"].explanation.endswith("on 64 windows; allowed 1.0e-03")
    assert (
        "the same class as the source on 100.0% of the pixels of 64 windows" in rows["parity/agreement"].explanation
    )
    assert rows["parity/masks"].explanation == (
        "the masks overlap those of the source with a Dice of 0.9950 on 64 windows; at least 0.99 required"
    )
    assert rows["dice_drop"].explanation == (
        "mean Dice 85.00% is equal to the source's 85.00%; a drop of at most 1.00 points is allowed"
    )


@pytest.mark.parametrize(
    ("precision", "trained_int8", "limit"),
    [("fp32", False, 0.99), ("int8", False, 0.9), ("bf16", False, 0.9), ("int8", True, 0.95), ("fp32", True, 0.99)],
)
def test_limits_of_masks(precision: str, trained_int8: bool, limit: float) -> None:
    for dice, passed in ((limit, True), (limit - 1e-6, False)):
        row = segmentation(precision, masks(dice), trained_int8=trained_int8)["parity/masks"]
        assert (row.limit, row.passed) == (limit, passed)


@pytest.mark.parametrize(("after", "passed"), [(0.84, True), (0.8399, False), (0.9, True)])
def test_dice_drop(after: float, passed: bool) -> None:
    row = segmentation("int8", masks(1.0), after=after)["dice_drop"]
    assert row.passed is passed
    assert row.value == pytest.approx(0.85 - after)


def test_masks_that_could_not_be_compared_do_not_pass() -> None:
    broken = Parity(None, None, None, 64, "the artifact's logits are not finite")
    for precision in ("fp32", "int8"):
        for trained in (True, False):
            row = segmentation(precision, broken, trained=trained)["parity/masks"]
            assert not row.passed
            assert row.explanation == "the masks could not be compared: the artifact's logits are not finite"
    assert not segmentation("int8", masks(None))["parity/masks"].passed
    none = check("a", "int8", masks(1.0), [], [], Gates(), True, dense=True)[-1]
    assert none.undecided == "the mean Dice of the source was not measured: no such figure in the record"


def test_random_masks_of_a_reduced_precision_are_reported_and_not_judged() -> None:
    rows = segmentation("int8", masks(0.3), trained=False)
    assert list(rows) == ["parity/agreement", "parity/masks"]
    assert rows["parity/masks"].passed
    assert (rows["parity/masks"].limit, rows["parity/masks"].value) == (None, 0.3)
    assert not segmentation("fp32", masks(0.3), trained=False)["parity/masks"].passed


def test_several_at_once_must_be_answered_as_one_by_one() -> None:
    right = check_open("a", "batch", "fp32", GOOD, Gates(), True)
    assert (right.name, right.passed) == ("batches/logits", True)
    assert right.explanation.startswith("several inputs at once: logits differ by 2.1e-04")
    assert not check_open("a", "batch", "fp32", Parity(0.1, 2e-3, 1.0, 64), Gates(), True).passed
    other = Parity(0.5, 0.05, 63 / 64, 64)
    lost = check_open("a", "batch", "int8", other, Gates(), True)
    assert (lost.name, lost.passed, lost.limit) == ("batches/agreement", False, 0.999)
    assert "as the file itself, given one input at a time, on 98.4% of 64 images" in lost.explanation
    assert check_open("a", "batch", "int8", other, Gates(), trained=False).passed


def test_other_sizes_are_judged_by_the_limits_of_the_precision() -> None:
    right = check_open("a", "size", "fp32", GOOD, Gates(), True)
    assert (right.name, right.passed) == ("sizes/logits", True)
    assert right.explanation.startswith("inputs of other sizes: logits differ by")
    assert not check_open("a", "size", "fp32", Parity(0.1, 2e-3, 1.0, 64), Gates(), True).passed
    near = Parity(0.1, 0.1, 0.97, 64)
    int8 = check_open("a", "size", "int8", near, Gates(), True)
    assert (int8.name, int8.passed, int8.limit) == ("sizes/agreement", True, Gates().int8_min_agreement)
    assert check_open("a", "size", "int8", Parity(0.1, 0.1, 0.1, 64), Gates(), trained=False).passed
