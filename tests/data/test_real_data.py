"""The real data sets, where EDGEKIT_DATA names their folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import ImageIndex, Masks, Npz, Prepared, Preprocessing, prepare
from edgekit.data.index_table import Columns
from edgekit.data.splits import Draw
from tests.data.truth import labels

SKIN = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

pytestmark = pytest.mark.shared_data


@pytest.fixture
def folder() -> Path:
    named = os.environ.get("EDGEKIT_DATA")
    if not named or not Path(named, "README.md").exists():
        pytest.skip("EDGEKIT_DATA does not name the folder of the real data")
    return Path(named)


def test_breastmnist(folder: Path) -> None:
    dataset = Npz(kind="npz", path=folder / "breastmnist.npz").load(("malignant", "normal or benign"))
    assert [split.count for split in dataset.splits.values()] == [546, 78, 156]


def test_derma_groups_are_disjoint(folder: Path) -> None:
    dataset = Npz(kind="npz", path=folder / "derma28.npz").load(SKIN)
    assert np.bincount(labels(dataset.splits["train"])).tolist() == [196, 332, 677, 71, 675, 4235, 79]
    assert len(set(dataset.splits["test"].groups or ())) == 747


def test_blood_cells_name_their_source(folder: Path) -> None:
    dataset = Npz(kind="npz", path=folder / "bccd_cells32.npz").load(("RBC", "WBC", "Platelets"))
    assert dataset.provenance["groups"] == "source"


def test_skin_lesions_from_the_zip(folder: Path, tmp_path: Path) -> None:
    names: dict[str, Any] = {"val": "test"}
    config = ImageIndex(
        kind="index",
        path=folder / "skin_lesions_200x150.zip",
        columns=Columns(
            file="images/{image_id}.jpg",
            label="dx",
            split="split",
            group="lesion_id",
            mask="masks/{image_id}.png",
        ),
        split_names=names,
        draw=Draw(train=0.75, val=0.1, test=0.15),
    )
    summary = prepare(config.load(SKIN), Preprocessing(size=(32, 32)), tmp_path, lambda fraction, text: None)
    assert summary["splits"]["test"]["class_counts"]["df"] == 11
    assert sum(split["count"] for split in summary["splits"].values()) == 1486
    assert min(summary["splits"]["val"]["class_counts"].values()) >= 5
    masks = Prepared.open(tmp_path).masks("test")
    assert masks is not None
    assert 0.05 < float((masks > 0).mean()) < 0.8


def test_retina_vessels_within_their_field_of_view(folder: Path, tmp_path: Path) -> None:
    config = Masks(
        kind="masks",
        path=folder / "retina_vessels_train.zip",
        images="training/images/{id}_training.png",
        masks="training/1st_manual/{id}_manual1.png",
        valid="training/mask/{id}_training_mask.png",
        values={0: "background", 255: "vessel"},
    )
    spec = Preprocessing(size=(256, 256), fit="window", overlap=0.0)
    summary = prepare(
        config.load(("background", "vessel"), dense=True), spec, tmp_path, lambda fraction, text: None, dense=True
    )
    parts = summary["splits"].values()
    assert sum(part["cases"] for part in parts) == 20
    assert all(part["count"] == 9 * part["cases"] for part in parts)
    pixels = {name: sum(part["class_counts"][name] for part in parts) for name in summary["classes"]}
    assert 0.1 < pixels["vessel"] / sum(pixels.values()) < 0.15
    assert sum(pixels.values()) + sum(part["ignored"] for part in parts) == 20 * 584 * 565
    masks = Prepared.open(tmp_path).masks("test")
    assert masks is not None
    assert set(np.unique(masks).tolist()) == {0, 1, 255}


def test_hippocampus_volumes(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    config = Masks(
        kind="masks", path=folder / "hippocampus_mr_60.zip", images="images/{id}.nii.gz", masks="labels/{id}.nii.gz"
    )
    spec = Preprocessing(size=(32, 48, 32), fit="window", channels=1, normalization="per_image")
    dataset = config.load(("background", "anterior", "posterior"), dense=True)
    summary = prepare(dataset, spec, tmp_path, lambda fraction, text: None, dense=True)
    assert sum(part["cases"] for part in summary["splits"].values()) == 60
    assert all(min(part["class_counts"].values()) > 0 for part in summary["splits"].values())
    prepared = Prepared.open(tmp_path)
    assert all(case.spacing == (1.0, 1.0, 1.0) for case in prepared.cases("test"))
    assert prepared.inputs("test", [0]).shape == (1, 1, 32, 48, 32)
    assert summary["overlap"]["count"] == 0


def test_skin_lesions_to_segment(folder: Path) -> None:
    config = ImageIndex(
        kind="index",
        path=folder / "skin_lesions_200x150.zip",
        columns=Columns(file="images/{image_id}.jpg", label="dx", group="lesion_id", mask="masks/{image_id}.png"),
    )
    splits = config.load(("background", "lesion"), dense=True).splits
    assert sum(split.count for split in splits.values()) == 1486
    mask = splits["test"].mask
    assert mask is not None
    assert np.unique(mask(0)).tolist() == [0, 1]
