from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekit.data import IGNORE, SPLITS, Dataset, Prepared, Preprocessing, Split, SplitName, prepare
from edgekit.errors import InputError

CLASSES = ("background", "lesion")
WINDOW = Preprocessing(size=(8, 8), fit="window", channels=1, mean=(0.5,), std=(0.5,))
WHOLE = Preprocessing(size=(8, 8), channels=1, mean=(0.5,), std=(0.5,))
SHAPES = ((20, 13), (8, 8), (5, 30))


def split(seed: int, shapes: tuple[tuple[int, ...], ...] = SHAPES, **options: Any) -> Split:
    random = np.random.default_rng(seed)
    volume = len(shapes[0]) == 3
    images: list[NDArray[Any]] = [
        random.normal(50, 9, shape).astype(np.float32) if volume else random.integers(0, 256, shape, dtype=np.uint8)
        for shape in shapes
    ]
    masks = [(image > np.median(image)).astype(np.uint8) for image in images]
    values: dict[str, Any] = {
        "count": len(shapes),
        "image": images.__getitem__,
        "labels": None,
        "ids": tuple(f"{seed}-{n}.png" for n in range(len(shapes))),
        "mask": masks.__getitem__,
    }
    return Split(**(values | options))


def made(folder: Path, spec: Preprocessing, **changes: Split) -> tuple[Prepared, Dataset]:
    splits: dict[SplitName, Split] = {name: split(number) for number, name in enumerate(SPLITS)}
    splits.update({name: changes[name] for name in SPLITS if name in changes})
    dataset = Dataset("toy", CLASSES, splits)
    prepare(dataset, spec, folder, lambda fraction, text: None, dense=True)
    return Prepared.open(folder), dataset


def assembled(prepared: Prepared, name: SplitName, windows: NDArray[Any]) -> list[NDArray[Any]]:
    """The cases again from ``windows``; every window must agree with those before it."""
    found = []
    for case in prepared.cases(name):
        whole = np.full(case.shape, -1, dtype=np.int64)
        for start, window in zip(case.starts, windows[case.first : case.first + case.count], strict=True):
            low = [max(a, 0) for a in start]
            high = [min(a + b, c) for a, b, c in zip(start, window.shape, case.shape, strict=True)]
            place = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            part = window[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
            assert ((whole[place] == part) | (whole[place] == -1)).all()
            whole[place] = part
        assert (whole >= 0).all()
        found.append(whole)
    return found


def test_windows_make_up_their_cases(tmp_path: Path) -> None:
    prepared, dataset = made(tmp_path, WINDOW)
    source = dataset.splits["val"]
    assert source.mask is not None
    masks = prepared.masks("val")
    assert masks is not None
    images = prepared.images("val")
    cases = prepared.cases("val")
    assert [case.shape for case in cases] == list(SHAPES)
    assert images.shape == (prepared.count("val"), 8, 8, 1)
    assert images.dtype == masks.dtype == np.uint8
    for number, whole in enumerate(assembled(prepared, "val", images[..., 0])):
        assert np.array_equal(whole, source.image(number))
    for number, whole in enumerate(assembled(prepared, "val", masks)):
        assert np.array_equal(whole, source.mask(number))
    padded = masks[cases[2].first]
    assert (padded[0] == IGNORE).all()
    assert (padded[-2:] == IGNORE).all()
    assert (padded[1:6] != IGNORE).all()


def test_windows_know_their_case(tmp_path: Path) -> None:
    prepared, _ = made(tmp_path, WINDOW, test=split(9, groups=("b", "a", "b")))
    cases = prepared.cases("test")
    counts = [case.count for case in cases]
    assert sum(counts) == prepared.count("test") == prepared.summary["splits"]["test"]["count"]
    assert [case.first for case in cases] == [0, counts[0], counts[0] + counts[1]]
    assert list(cases[1].windows) == [counts[0]]
    assert prepared.ids("test")[0] == "9-0.png window 1"
    assert prepared.ids("test")[counts[0]] == "9-1.png"
    assert list(prepared.groups("test")) == [1] * counts[0] + [0] * counts[1] + [1] * counts[2]
    assert list(prepared.groups("val")) == [0] * counts[0] + [1] * counts[1] + [2] * counts[2]


def test_targets_are_masks(tmp_path: Path) -> None:
    prepared, _ = made(tmp_path, WINDOW)
    masks = prepared.masks("train")
    assert masks is not None
    targets = prepared.targets("train", [3, 0])
    assert targets.dtype == np.int64
    assert np.array_equal(targets, masks[[3, 0]])
    assert prepared.dense
    with pytest.raises(TypeError, match="has no labels"):
        prepared.labels("train")


def test_pixels_are_counted_once(tmp_path: Path) -> None:
    prepared, dataset = made(tmp_path, WINDOW)
    part = prepared.summary["splits"]["train"]
    mask = dataset.splits["train"].mask
    assert mask is not None
    lesion = sum(int(mask(number).sum()) for number in range(3))
    assert part["class_counts"] == {"background": 20 * 13 + 64 + 150 - lesion, "lesion": lesion}
    assert (part["cases"], part["padded_cases"], part["ignored"], part["groups"]) == (3, 1, 0, None)
    notes = prepared.summary["notes"]
    assert notes[0].startswith("cases are covered by windows of 8x8 that share at least 50%: train 3 cases in ")
    assert notes[1].startswith("3 cases are smaller than a window and are padded")


def test_outside_of_the_field_of_view_nothing_counts(tmp_path: Path) -> None:
    inside = [np.zeros(shape, dtype=bool) for shape in SHAPES]
    for one in inside:
        one[2:5] = True
    prepared, dataset = made(tmp_path, WINDOW, train=split(0, valid=inside.__getitem__))
    masks = prepared.masks("train")
    assert masks is not None
    for number, whole in enumerate(assembled(prepared, "train", masks)):
        assert np.array_equal(whole != IGNORE, inside[number])
    part = prepared.summary["splits"]["train"]
    assert sum(part["class_counts"].values()) == 3 * (13 + 8 + 30)
    assert any("count in no figure: outside of the field of view" in note for note in prepared.summary["notes"])
    assert dataset.splits["train"].valid is not None
    empty = split(0, valid=lambda n: np.zeros(SHAPES[n], dtype=bool))
    with pytest.raises(InputError, match=r"no pixel of 0-0\.png counts"):
        made(tmp_path, WINDOW, train=empty)


def test_resized_cases_have_one_window(tmp_path: Path) -> None:
    spacings = tuple((0.5, 2.0) for _ in SHAPES)
    prepared, _ = made(tmp_path, WHOLE, train=split(0, spacings=spacings))
    assert prepared.count("train") == 3
    case = prepared.cases("train")[0]
    assert (case.shape, case.starts) == ((8, 8), ((0, 0),))
    assert case.spacing == pytest.approx((0.5 * 20 / 8, 2.0 * 13 / 8)), "a resized pixel is larger"
    masks = prepared.masks("train")
    assert masks is not None
    assert set(np.unique(masks).tolist()) == {0, 1}
    assert (
        "masks are resized too (nearest pixel): figures are those of the resized masks" in prepared.summary["notes"]
    )


def test_each_volume_gets_its_own_normalization(tmp_path: Path) -> None:
    spec = Preprocessing(size=(8, 8, 8), fit="window", channels=1, normalization="per_image", overlap=0)
    changes = {
        name: split(number, ((8, 16, 8), (8, 8, 8)), spacings=((1.0, 1.0, 1.0), (1.0, 1.0, 1.0 + number)))
        for number, name in enumerate(SPLITS)
    }
    prepared, _ = made(tmp_path, spec, **changes)
    assert prepared.images("val").dtype == np.float32
    inputs = prepared.inputs("val")
    assert inputs.shape == (3, 1, 8, 8, 8)
    assert inputs[:2].mean() == pytest.approx(0, abs=1e-5), "of the case, not of its windows"
    assert inputs[:2].std() == pytest.approx(1, abs=1e-4)
    assert abs(float(inputs[0].mean())) > 1e-4
    assert prepared.summary["splits"]["test"]["spacing_mm"] == {"min": [1, 1, 1], "max": [1, 1, 3]}
    assert any("the spacing differs between cases, 1x1x1 mm to 1x1x3 mm" in n for n in prepared.summary["notes"])


def test_the_same_case_in_two_splits_is_reported(tmp_path: Path) -> None:
    prepared, _ = made(tmp_path, WINDOW, test=split(0))
    assert prepared.summary["overlap"]["count"] == 3
    assert prepared.summary["overlap"]["first"][0] == ["train", "0-0.png", "test", "0-0.png"]


def test_hashes_follow_masks(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    first, _ = made(folders[0], WINDOW)
    other, _ = made(folders[1], WINDOW, val=split(1, mask=lambda n: np.zeros(SHAPES[n], np.uint8)))
    shas = [[one.summary["splits"][name]["image_sha256"] for name in SPLITS] for one in (first, other)]
    assert [a == b for a, b in zip(*shas, strict=True)] == [True, False, True]
    assert "WARNING: the split 'val' has no pixel of: lesion" in other.summary["notes"]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    for wrong, message in (
        (split(0, mask=None), "the split 'train' has no masks"),
        (split(0, mask=lambda n: np.zeros((3, 3), np.uint8)), r"the mask of 0-0\.png is 3x3, its image 20x13"),
        (split(0, mask=lambda n: np.full(SHAPES[n], 2, np.uint8)), r"the mask of 0-0\.png holds the class 2"),
        (split(0, valid=lambda n: np.ones((3, 3), bool)), r"the field of view of 0-0\.png is 3x3"),
        (split(0, ((9, 9, 9),)), r"0-0\.png is a volume of 3 dimensions \(9x9x9\), 'input.size' has 2 numbers"),
    ):
        with pytest.raises(InputError, match=message):
            made(tmp_path, WINDOW, train=wrong)
    dataset = Dataset("toy", CLASSES, {name: split(0) for name in SPLITS})
    with pytest.raises(InputError, match="'fit: window' is for segmentation"):
        prepare(dataset, WINDOW, tmp_path, lambda fraction, text: None)
    with pytest.raises(InputError, match="the split 'train' has no labels"):
        prepare(dataset, WHOLE, tmp_path, lambda fraction, text: None)


def test_a_full_disk_is_an_error_not_a_crash(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "train_images.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        made(tmp_path, WINDOW)


def test_a_damaged_folder(tmp_path: Path) -> None:
    prepared, _ = made(tmp_path, WINDOW)
    (tmp_path / "val_cases.json").write_text("[{}]")
    with pytest.raises(InputError, match="prepared data is damaged"):
        prepared.cases("val")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": [8]}, "'size' needs 2 numbers, or 3 for volumes"),
        ({"size": [8, 8, 4], "fit": "window", "channels": 1}, "'size' must be 8 to 512"),
        ({"size": [8, 8, 8], "channels": 1, "mean": [0], "std": [1]}, "need 'fit: window'"),
        ({"size": [8, 8, 8], "fit": "window"}, "need 'channels: 1'"),
        ({"size": [8, 8], "overlap": 0.25}, "'overlap' has no effect without 'fit: window'"),
        ({"size": [8, 8], "normalization": "per_image", "mean": [1, 1, 1]}, "'mean' has no effect with"),
        ({"size": [8, 8], "fit": "window", "overlap": 0.95}, "less than or equal to 0.9"),
    ],
)
def test_preprocessing_is_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Preprocessing(**values)
    assert message in str(caught.value)


def test_preprocessing_survives_being_stored() -> None:
    for spec in (WINDOW, WHOLE, Preprocessing(size=(8, 8), normalization="per_image")):
        assert Preprocessing.model_validate(spec.model_dump(mode="json")) == spec
        assert Preprocessing.model_validate_json(spec.model_dump_json()) == spec
