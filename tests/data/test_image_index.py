from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from edgekit.data import ImageIndex
from edgekit.data.index_table import Columns
from edgekit.data.splits import Draw
from edgekit.errors import InputError
from tests.data.truth import labels

CLASSES = ("nv", "mel")
HEADER = "image_id,lesion,dx,part"
FULL = Columns(file="images/{image_id}.png", label="dx", split="part", group="lesion", mask="masks/{image_id}.png")


def rows(count: int = 30) -> list[str]:
    parts = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    return [f"i{n:02},L{n},{CLASSES[n // 10 % 2]},{parts[n % 10]}" for n in range(count)]


def write(root: Path, lines: list[str], header: str = HEADER) -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(30):
            Image.fromarray(np.full((6, 8), number, np.uint8)).save(root / folder / f"i{number:02}.png")
    (root / "index.csv").write_text("\n".join([header, *lines]) + "\n")
    return root


def config(path: Path, columns: Columns = FULL, **options: Any) -> ImageIndex:
    return ImageIndex(kind="index", path=path, columns=columns, **options)


@pytest.mark.parametrize("packed", [False, True])
def test_reads_given_splits_with_masks_and_groups(tmp_path: Path, packed: bool) -> None:
    path = write(tmp_path / "data", rows())
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    dataset = config(path).load(CLASSES)
    split = dataset.splits["val"]
    assert split.ids == tuple(f"images/i{n:02}.png" for n in (6, 7, 16, 17, 26, 27))
    assert labels(split).tolist() == [0, 0, 1, 1, 0, 0]
    assert split.groups is not None
    assert split.groups[2] == "L16"
    assert split.mask is not None
    assert split.image(2)[0, 0] == split.mask(2)[0, 0] == 16
    assert dataset.notes == ()


def test_draws_whole_groups(tmp_path: Path) -> None:
    lines = [f"i{n:02},L{n // 3},{CLASSES[n // 3 % 2]},x" for n in range(30)]
    columns = Columns(file="images/{image_id}.png", label="dx", group="lesion")
    dataset = config(write(tmp_path / "data", lines), columns, draw=Draw(train=0.6, val=0.2, test=0.2)).load(
        CLASSES
    )
    assert {n: s.count for n, s in dataset.splits.items()} == {"train": 18, "val": 6, "test": 6}
    groups = [set(split.groups or ()) for split in dataset.splits.values()]
    assert sum(len(one) for one in groups) == len(set.union(*groups)) == 10
    assert dataset.notes[0].startswith("splits drawn by group")


def test_takes_a_missing_split_from_train_by_group(tmp_path: Path) -> None:
    lines = [f"i{n:02},L{n // 2},{CLASSES[n % 2]},{'fit' if n < 20 else 'held out'}" for n in range(30)]
    names: dict[str, Any] = {"fit": "train", "held out": "test"}
    dataset = config(write(tmp_path / "data", lines), split_names=names, draw=Draw()).load(CLASSES)
    assert dataset.splits["test"].count == 10
    assert dataset.splits["train"].count + dataset.splits["val"].count == 20
    assert not set(dataset.splits["train"].groups or ()) & set(dataset.splits["val"].groups or ())


def test_maps_labels_to_classes_and_says_what_it_cannot_check(tmp_path: Path) -> None:
    columns = Columns(file="images/{image_id}.png", label="dx")
    dataset = config(write(tmp_path / "data", rows()), columns, labels={"nv": "nevus"}).load(("mel", "nevus"))
    assert set(labels(dataset.splits["train"]).tolist()) == {0, 1}
    assert any("no group column" in note for note in dataset.notes)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        config(path, **options).load(CLASSES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("i99,L1,nv,train", "no such file: 'images/i99.png'"),
        ("../../x,L1,nv,train", "leaves the"),
        ("i29,L1,nvv,train", "unknown label 'nvv', did you mean 'nv'?"),
        ("i29,L1,nv,training", "unknown split 'training'"),
        ("i29,,nv,train", "the group 'lesion' is empty"),
        ("i29,L1,nv", "3 cells for 4 columns"),
        ("i00,L1,nv,train", "'images/i00.png' is already in line 2"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_names_the_line_of_a_bad_row(tmp_path: Path, row: str, message: str, packed: bool) -> None:
    path = write(tmp_path / "data", [*rows(29), row])
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    text = refusal(path)
    assert text.startswith(f"{path}/index.csv:31: ")
    assert message in text


def test_reports_bad_rows_together(tmp_path: Path) -> None:
    bad = [f"i{n:02},L{n},nothing,train" for n in range(25)]
    lines = refusal(write(tmp_path / "data", bad)).splitlines()
    assert len(lines) == 11
    assert lines[-1].endswith("15 more rows are wrong")


def test_refuses_given_splits_that_share_a_group(tmp_path: Path) -> None:
    lines = [*rows(29), "i29,L0,nv,test"]
    text = refusal(write(tmp_path / "data", lines))
    assert "the group 'L0' is in 'train' and in 'test'" in text


def masks(root: Path, value: int = 255) -> None:
    for number in range(30):
        pixels = np.zeros((6, 8), np.uint8)
        pixels[2:4, 2:6] = value
        Image.fromarray(pixels).save(root / "masks" / f"i{number:02}.png")


@pytest.mark.parametrize("label", ["dx", None])
def test_a_segmentation_learns_from_masks(tmp_path: Path, label: str | None) -> None:
    path = write(tmp_path / "data", rows())
    masks(path)
    columns = FULL.model_copy(update={"label": label, "split": None})
    dataset = config(path, columns).load(("background", "lesion"), dense=True)
    split = dataset.splits["test"]
    assert split.labels is None
    assert split.mask is not None
    assert np.unique(split.mask(0)).tolist() == [0, 1]
    assert split.groups is not None
    assert ("stratified by class" in dataset.notes[0]) == (label == "dx")


def test_values_of_masks_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows())
    masks(path, 40)
    columns = FULL.model_copy(update={"label": None})
    classes = ("background", "lesion")
    split = config(path, columns, values={0: "background", 40: "lesion"}).load(classes).splits["val"]
    assert split.mask is not None
    assert int(split.mask(0).sum()) == 8
    split = config(path, columns).load(classes).splits["val"]
    assert split.mask is not None
    with pytest.raises(InputError, match=r"index\.csv:8: masks/i06\.png: the mask holds the value 40 \(8 pixels\)"):
        split.mask(0)
    with pytest.raises(InputError, match="'values' maps to 'tumour'"):
        config(path, columns, values={1: "tumour"}).load(classes)
    with pytest.raises(InputError, match="'values' is for a segmentation"):
        config(path, values={1: "mel"}).load(CLASSES)


def test_a_segmentation_needs_a_column_of_masks(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows())
    with pytest.raises(InputError, match=r"a segmentation needs a mask of each image .*'columns\.mask'"):
        config(path, FULL.model_copy(update={"mask": None})).load(CLASSES, dense=True)
    with pytest.raises(ValidationError, match="name the column of the 'label', or of the 'mask'"):
        Columns(file="f")
    with pytest.raises(ValidationError, match=r"'values' needs 'columns\.mask'"):
        config(path, Columns(file="f", label="l"), values={0: "a"})


def test_names_an_unreadable_image_and_mask(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows())
    (path / "images/i06.png").write_bytes(b"")
    (path / "masks/i07.png").write_bytes(b"no image")
    split = config(path).load(CLASSES).splits["val"]
    with pytest.raises(InputError, match=r"index\.csv:8: images/i06\.png: not a readable image"):
        split.image(0)
    assert split.mask is not None
    with pytest.raises(InputError, match=r"index\.csv:9: masks/i07\.png: not a readable image"):
        split.mask(1)


def test_refuses_wrong_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows(), header="image_id,lesion,dxx,part")
    assert f"{path}/index.csv:1: columns.label names the column 'dx', which the table lacks" in refusal(path)
    assert "did you mean 'index.csv'?" in refusal(path, index="indx.csv")
    assert "leaves the folder" in refusal(path, index="../index.csv")
    for content, message in (
        (b"", "an empty table"),
        (HEADER.encode(), "the table has no rows"),
        (b"a,a\n1,2\n", "the column 'a' is there twice"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b'a,b\n"x', "not a CSV table"),
    ):
        (path / "index.csv").write_bytes(content)
        assert message in refusal(path)


def test_split_names_need_a_split_column(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"'split_names' needs 'columns\.split'"):
        config(tmp_path, Columns(file="f", label="l"), split_names={"a": "train"})
