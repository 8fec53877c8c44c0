"""Figures against MONAI, scikit-learn and loops over pixels; empty masks, ignored pixels, groups and bad input."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from edgekit.data.base import IGNORE
from edgekit.data.cases import Case
from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import segmentation
from edgekit.evaluate.calibration import ece
from edgekit.evaluate.figures import softmax
from edgekit.evaluate.repeats import repeated
from edgekit.record import Measurement

Floats = NDArray[np.float32]
Masks = NDArray[np.uint8]


def whole(shape: tuple[int, ...], n: int, spacing: tuple[float, ...] | None = None) -> tuple[Case, ...]:
    """``n`` cases of one window each."""
    return tuple(Case(f"case {i}", shape, spacing, i, ((0,) * len(shape),)) for i in range(n))


def make(n: int, classes: int, shape: tuple[int, ...], seed: int = 0, ignored: float = 0.0) -> tuple[Floats, Masks]:
    """Logits that are right more often than not on blocky masks; every case has every class."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (n, *(side // 4 for side in shape)))
    masks = coarse
    for axis in range(1, len(shape) + 1):
        masks = masks.repeat(4, axis=axis)
    logits = rng.normal(size=(n, classes, *shape)) + 2.0 * np.moveaxis(np.eye(classes)[masks], -1, 1)
    marked = np.where(rng.random(masks.shape) < ignored, IGNORE, masks)
    return logits.astype(np.float32), marked.astype(np.uint8)


def by_name(rows: list[Measurement]) -> dict[str, Measurement]:
    return {row.metric: row for row in rows}


def value(rows: list[Measurement], metric: str) -> float:
    samples = by_name(rows)[metric].samples
    assert samples is not None, by_name(rows)[metric].not_measured_reason
    return samples[0]


NAMES = ["background", "core", "edema"]


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.metrics")


def one_hot(masks: NDArray[Any], classes: int) -> Any:
    return np.moveaxis(np.eye(classes, dtype=np.float32)[masks], -1, 1)


@pytest.mark.parametrize(
    ("classes", "shape", "spacing"),
    [(2, (24, 32), None), (3, (24, 32), (0.5, 2.0)), (2, (8, 12, 8), (3.0, 1.0, 1.0)), (3, (8, 12, 8), None)],
)
def test_overlap_and_distance_are_monais(
    monai: Any, classes: int, shape: tuple[int, ...], spacing: tuple[float, ...] | None
) -> None:
    logits, masks = make(4, classes, shape)
    names = NAMES[:classes]
    rows = segmentation.evaluate("a", logits, whole(shape, 4, spacing), masks, names, 100, seed=0)
    predicted = logits.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        y_pred, y = (torch.from_numpy(one_hot(one, classes)) for one in (predicted, masks))
        dice = monai.compute_dice(y_pred, y, include_background=False).numpy()
        iou = monai.compute_iou(y_pred, y, include_background=False).numpy()
        hd95 = monai.compute_hausdorff_distance(y_pred, y, percentile=95, spacing=spacing).numpy()
    assert value(rows, "mean_dice") == pytest.approx(dice.mean(), rel=1e-6)
    for k, name in enumerate(names[1:]):
        for metric, theirs in (("dice", dice), ("iou", iou), ("hd95", hd95)):
            row = by_name(rows)[f"{metric}/{name}"]
            assert row.samples == pytest.approx((theirs[:, k].mean(),), rel=1e-5)
            assert row.conditions["per_case"] == pytest.approx(theirs[:, k], rel=1e-5, abs=1e-6)
            assert row.conditions["both_empty"] == row.conditions["only_true"] == 0
    assert by_name(rows)["hd95/core"].unit == ("px" if spacing is None else "mm")


@pytest.mark.parametrize("classes", [2, 3])
def test_pixel_figures_agree_with_scikit_learn_and_leave_ignored_pixels_out(classes: int) -> None:
    shape = (16, 20)
    logits, masks = make(5, classes, shape, ignored=0.2)
    names = NAMES[:classes]
    rows = segmentation.evaluate("a", logits, whole(shape, 5), masks, names, 100, seed=0)
    counted = masks != IGNORE
    labels = masks[counted].astype(np.int64)
    p = softmax(np.moveaxis(logits, 1, -1)[counted])
    predicted = p.argmax(axis=1)
    assert 0.5 < value(rows, "accuracy") < 1.0
    assert value(rows, "accuracy") == pytest.approx(sk.accuracy_score(labels, predicted))
    assert value(rows, "nll") == pytest.approx(sk.log_loss(labels, p))
    assert value(rows, "brier") == pytest.approx(float(((p - np.eye(classes)[labels]) ** 2).sum(axis=1).mean()))
    assert value(rows, "ece") == pytest.approx(ece(p.max(axis=1), predicted == labels))
    recalls = sk.recall_score(labels, predicted, average=None)
    for k, name in enumerate(names[1:], start=1):
        assert value(rows, f"sensitivity/{name}") == pytest.approx(recalls[k])
        others = sk.recall_score(labels != k, predicted != k)
        assert value(rows, f"specificity/{name}") == pytest.approx(others)
        assert by_name(rows)[f"sensitivity/{name}"].conditions["positives"] == (labels == k).sum()
        dices = [
            sk.f1_score(masks[i][counted[i]] == k, logits[i].argmax(axis=0)[counted[i]] == k) for i in range(5)
        ]
        assert value(rows, f"dice/{name}") == pytest.approx(np.mean(dices))
    assert {row.conditions["pixels"] for row in rows} == {int(counted.sum())}
    bins = by_name(rows)["ece"].conditions["bins"]
    assert sum(one["count"] for one in bins) == counted.sum()
    gaps = (one["count"] * abs(one["accuracy"] - one["confidence"]) for one in bins if one["count"])
    assert sum(gaps) / counted.sum() == pytest.approx(value(rows, "ece"))


def test_ignored_pixels_are_background_to_the_surfaces() -> None:
    truth = np.zeros((1, 20, 20), dtype=np.uint8)
    truth[0, 5:10, 5:10] = 1
    truth[0, 15:] = IGNORE
    logits = np.zeros((1, 2, 20, 20), dtype=np.float32)
    logits[0, 1] = np.where((truth[0] == 1) | (truth[0] == IGNORE), 5.0, -5.0)
    rows = segmentation.evaluate("a", logits, whole((20, 20), 1), truth, ["out", "in"], 10, seed=0)
    for metric, expected in (("dice/in", 1.0), ("hd95/in", 0.0), ("accuracy", 1.0), ("specificity/in", 1.0)):
        assert value(rows, metric) == expected


def test_each_resample_is_the_figure_of_the_drawn_cases() -> None:
    logits, masks = make(6, 3, (8, 12), ignored=0.1)
    cases = whole((8, 12), 6)
    rows = by_name(segmentation.evaluate("a", logits, cases, masks, NAMES, 100, seed=4))
    drawn: dict[str, list[float]] = {name: [] for name in segmentation.names(NAMES)}
    for weights in np.concatenate(list(boot.resamples(6, 100, seed=4))):
        chosen = np.repeat(np.arange(6), weights.astype(int))
        again = segmentation.evaluate("a", logits[chosen], cases, masks[chosen], NAMES, 0, seed=0)
        for row in again:
            assert row.samples is not None
            assert row.interval is None
            drawn[row.metric].append(row.samples[0])
    for name, values in drawn.items():
        assert rows[name].interval == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
        assert rows[name].conditions["resamples"] == 100


def test_groups_are_drawn_whole() -> None:
    logits, masks = make(6, 2, (8, 8))
    logits[:3] = 10.0 * one_hot(masks[:3], 2)  # patient 7 is perfect, patient 2 is not
    rows = segmentation.evaluate(
        "a", logits, whole((8, 8), 6), masks, ["x", "y"], 400, 0, groups=[7, 7, 7, 2, 2, 2]
    )
    per_case = by_name(rows)["mean_dice"].conditions["per_case"]
    low = float(np.mean(per_case[3:]))
    # Of two patients a resample holds both, or one twice, each with a quarter: the interval spans both means.
    assert by_name(rows)["mean_dice"].interval == pytest.approx((low, 1.0), abs=1e-6)
    assert by_name(rows)["mean_dice"].method.endswith("bootstrap over 2 groups of cases (patients)")
    alone = segmentation.evaluate("a", logits, whole((8, 8), 6), masks, ["x", "y"], 400, 0)
    assert by_name(alone)["mean_dice"].method.endswith("bootstrap over cases")
    assert value(alone, "mean_dice") == value(rows, "mean_dice")
    same = segmentation.evaluate("a", logits, whole((8, 8), 6), masks, ["x", "y"], 400, 0, groups=range(6))
    assert same == alone


def empty_cases() -> tuple[Floats, Masks]:
    """Four cases of 8x8, class 1: found, absent and not found, invented, missed."""
    masks = np.zeros((4, 8, 8), dtype=np.uint8)
    called = np.zeros((4, 8, 8), dtype=np.int64)
    masks[0, 2:5, 2:5] = called[0, 2:5, 2:6] = 1
    called[2, 1, 1] = 1
    masks[3, 6, 6] = 1
    return 4.0 * one_hot(called, 2) - 2.0, masks


def test_empty_masks(monai: Any) -> None:
    logits, masks = empty_cases()
    spacing = (2.0, 1.0)
    rows = by_name(segmentation.evaluate("a", logits, whole((8, 8), 4, spacing), masks, ["no", "yes"], 500, seed=0))
    dice, iou, hd95 = (rows[f"{metric}/yes"] for metric in ("dice", "iou", "hd95"))
    assert dice.conditions["per_case"] == pytest.approx([18 / 21, 1.0, 0.0, 0.0], abs=1e-6)
    assert iou.conditions["per_case"] == pytest.approx([9 / 12, 1.0, 0.0, 0.0], abs=1e-6)
    assert hd95.conditions["per_case"] == [1.0, None, None, None]
    for row in (dice, iou, hd95):
        counts = [row.conditions[why] for why in ("both_empty", "only_predicted", "only_true")]
        assert counts == [1, 1, 1]
    assert dice.samples == pytest.approx(((18 / 21 + 1) / 4,))
    assert dice.conditions["mean_where_true"] == pytest.approx(18 / 21 / 2)  # the first and the last case
    # Only the first case has two surfaces, and the row says so; the missed and invented ones are not hidden.
    assert hd95.samples == (1.0,)
    assert "(3 of 4 left out)" in hd95.method
    diagonal = math.hypot(7 * 2.0, 7 * 1.0)
    assert hd95.conditions["mean_with_missed_at_diagonal"] == pytest.approx((1.0 + 2 * diagonal) / 3)
    # Missing from (3/4)^4 = 32 % of the resamples.
    assert 300 < hd95.conditions["resamples"] < 380
    assert dice.conditions["resamples"] == 500
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        pair = [torch.from_numpy(one_hot(one, 2)) for one in (logits.argmax(axis=1), masks)]
        theirs = monai.compute_dice(*pair, include_background=False, ignore_empty=False)[:, 0]
        their_iou = monai.compute_iou(*pair, include_background=False, ignore_empty=False)[:, 0]
        distance = monai.compute_hausdorff_distance(*pair, percentile=95, spacing=spacing)[:, 0].numpy()
    np.testing.assert_allclose(dice.conditions["per_case"], theirs, atol=1e-6)
    np.testing.assert_allclose(iou.conditions["per_case"], their_iou, atol=1e-6)
    np.testing.assert_allclose(np.array(hd95.conditions["per_case"], dtype=np.float64), distance, atol=1e-6)


def test_a_class_that_no_case_has() -> None:
    logits, masks = empty_cases()
    rows = by_name(segmentation.evaluate("a", logits[1:3], whole((8, 8), 2), masks[1:3], ["no", "yes"], 50, seed=0))
    for metric in ("dice/yes", "iou/yes", "sensitivity/yes"):
        assert rows[metric].not_measured_reason == "the test split has no pixel of class 'yes'"
    assert rows["mean_dice"].not_measured_reason == "the test split has no pixel of a foreground class"
    reason = "the test split has no case with 'yes' both in the truth and in the prediction"
    assert rows["hd95/yes"].not_measured_reason == reason
    assert rows["specificity/yes"].samples == (127 / 128,)
    assert rows["ece"].samples is not None


def test_a_class_that_no_case_has_does_not_raise_the_mean_dice() -> None:
    logits, masks = make(3, 2, (8, 8))
    third = np.concatenate([logits, np.full_like(logits[:, :1], -9.0)], axis=1)
    two = segmentation.evaluate("a", logits, whole((8, 8), 3), masks, NAMES[:2], 50, 0)
    three = by_name(segmentation.evaluate("a", third, whole((8, 8), 3), masks, NAMES, 50, 0))
    assert three["mean_dice"].samples == (value(two, "mean_dice"),)
    assert three["mean_dice"].conditions["per_case"] == by_name(two)["mean_dice"].conditions["per_case"]
    assert three["dice/edema"].samples is None
    assert three["specificity/edema"].samples == (1.0,)


def test_windows_are_assembled_before_anything_is_measured(tmp_path: Path) -> None:
    """Two cases of different size, three windows each or one, from a memory map: as if measured whole."""
    logits, masks = make(1, 2, (8, 16), seed=5)
    small, small_masks = make(1, 2, (4, 8), seed=6)
    starts = ((0, 0), (0, 4), (0, 8))
    cut = [logits[0, :, :, at : at + 8] for _, at in starts]
    cut_masks = [masks[0, :, at : at + 8] for _, at in starts]
    padded = np.full((2, 8, 8), 7.0, dtype=np.float32)
    padded[:, 2:6] = small[0]
    padded_mask = np.full((8, 8), IGNORE, dtype=np.uint8)
    padded_mask[2:6] = small_masks[0]
    np.save(tmp_path / "logits.npy", np.stack([*cut, padded]))
    windows = np.load(tmp_path / "logits.npy", mmap_mode="r")
    cases = (Case("wide", (8, 16), None, 0, starts), Case("small", (4, 8), None, 3, ((-2, 0),)))
    rows = segmentation.evaluate("a", windows, cases, np.stack([*cut_masks, padded_mask]), ["x", "y"], 50, seed=0)
    alone = [
        segmentation.evaluate("a", one, whole(one.shape[2:], 1), mask, ["x", "y"], 50, seed=0)
        for one, mask in ((logits, masks), (small, small_masks))
    ]
    for metric in ("dice/y", "iou/y", "hd95/y", "mean_dice"):
        assert value(rows, metric) == pytest.approx(np.mean([value(one, metric) for one in alone]))
    pixels = 8 * 16, 4 * 8
    for metric in ("accuracy", "nll", "brier"):
        pooled = sum(n * value(one, metric) for n, one in zip(pixels, alone, strict=True)) / sum(pixels)
        assert value(rows, metric) == pytest.approx(pooled, rel=1e-6)
    assert by_name(rows)["mean_dice"].conditions["case_ids"] == ["wide", "small"]
    assert by_name(rows)["mean_dice"].conditions["cases"] == 2


def test_names_not_measured_and_logits_that_are_not_finite() -> None:
    logits, masks = make(3, 3, (8, 8))
    cases = whole((8, 8), 3)
    done = segmentation.evaluate("a", logits, cases, masks, NAMES, 10, seed=0)
    assert [row.metric for row in done] == segmentation.names(NAMES)
    assert segmentation.names(["no", "yes"]) == [
        "mean_dice", "dice/yes", "iou/yes", "hd95/yes", "accuracy", "sensitivity/yes", "specificity/yes",
        "nll", "ece", "brier",
    ]  # fmt: skip
    logits[1, 2, 3, 4] = np.inf
    rows = segmentation.evaluate("a", logits, cases, masks, NAMES, 10, seed=0)
    assert [row.metric for row in rows] == segmentation.names(NAMES)
    assert {row.not_measured_reason for row in rows} == {
        "logits are not finite for 1 of 3 windows (first: window 1)"
    }
    with pytest.raises(InputError, match="unknown metric 'auc'"):
        segmentation.not_measured("a", ["auc"], "none", NAMES)


def test_bad_input() -> None:
    logits, masks = make(3, 2, (8, 8))
    cases = whole((8, 8), 3)
    two = ["x", "y"]

    def evaluate(logits: Floats, cases: tuple[Case, ...], masks: Masks, groups: list[int] | None = None) -> None:
        segmentation.evaluate("a", logits, cases, masks, two, 10, 0, groups)

    with pytest.raises(InputError, match=r"logits \[3, 2, 8, 8\] do not fit masks \[2, 8, 8\] and 2 classes"):
        evaluate(logits, cases, masks[:2])
    with pytest.raises(InputError, match="windows of 2 cases are not 0 to 2 in order"):
        evaluate(logits, cases[:2], masks)
    with pytest.raises(InputError, match="2 groups do not fit 3 cases"):
        evaluate(logits, cases, masks, groups=[0, 1])
    mixed = (cases[0], Case("b", (8, 8), (1.0, 1.0), 1, ((0, 0),)), cases[2])
    with pytest.raises(InputError, match=r"2 of 3 cases have no spacing \(first: 'case 0'\), the others have one"):
        evaluate(logits, mixed, masks)
    wrong = masks.copy()
    wrong[1, 0, 0] = 2
    with pytest.raises(InputError, match="case 'case 1': the mask holds class 2; there are 0 to 1"):
        evaluate(logits, cases, wrong)
    wrong[1] = IGNORE
    with pytest.raises(InputError, match="case 'case 1': the mask has no pixel that counts"):
        evaluate(logits, cases, wrong)


def test_a_figure_of_seeds_is_averaged_like_any_other() -> None:
    values = []
    for seed in range(3):
        logits, masks = make(3, 2, (8, 8), seed)
        values.append(
            value(segmentation.evaluate("a", logits, whole((8, 8), 3), masks, ["x", "y"], 0, 0), "dice/y")
        )
    assert repeated(values).mean == pytest.approx(np.mean(values))


def test_the_difference_from_the_source_is_over_the_same_cases() -> None:
    shape, names = (16, 20), NAMES[:2]
    logits, masks = make(12, 2, shape)
    before = (logits + np.random.default_rng(1).normal(size=logits.shape)).astype(np.float32)
    cases = whole(shape, 12)
    rows = by_name(segmentation.evaluate("a", logits, cases, masks, names, 200, 0, source=before))
    source = by_name(segmentation.evaluate("source", before, cases, masks, names, 200, 0))
    per_case = [np.array(one["mean_dice"].conditions["per_case"]) for one in (rows, source)]
    change = rows["mean_dice"].conditions["less_source"]
    assert change["value"] == pytest.approx((per_case[0] - per_case[1]).mean(), abs=1e-6)
    drawn = [(weights @ (per_case[0] - per_case[1]) / 12) for weights in boot.resamples(12, 200, 0)]
    expected = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    assert change["interval"] == pytest.approx(expected, abs=1e-6)
    assert "less_source" in rows["ece"].conditions
    assert not any("less_source" in row.conditions for name, row in rows.items() if name.startswith("hd95"))
    few = by_name(segmentation.evaluate("a", logits[:9], cases[:9], masks[:9], names, 200, 0, source=before[:9]))
    assert few["mean_dice"].conditions["less_source"]["interval"] is None
