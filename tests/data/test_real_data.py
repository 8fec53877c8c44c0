"""The real data sets, where EDGEKIT_DATA names their folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import ImageIndex, Npz, Prepared, Preprocessing, prepare
from edgekit.data.index_table import Columns
from edgekit.data.splits import Draw

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
    assert np.bincount(dataset.splits["train"].labels).tolist() == [196, 332, 677, 71, 675, 4235, 79]
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
