"""Subgroups of a table's column, from the CSV to the prepared split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data.base import Preprocessing
from edgekit.data.index_table import Columns
from edgekit.data.prepared import Prepared, prepare
from edgekit.data.subgroups import grouped
from edgekit.errors import InputError
from tests.data.test_image_index import CLASSES, config, rows, write

COLUMNS = Columns(file="images/{image_id}.png", label="dx", split="part")


def test_few_values_are_groups_as_they_are() -> None:
    assert grouped("sex", ["f", "m", "", "f"], "t.csv") == ["f", "m", "not recorded", "f"]


def test_many_numbers_become_ranges_of_equally_many_rows() -> None:
    ages = [str(age) for age in range(20, 84)]
    found = grouped("age", [*ages, ""], "t.csv")
    names, counts = np.unique(found[:-1], return_counts=True)
    assert len(names) == 4
    assert counts.tolist() == [16, 16, 16, 16]
    assert found[0] == "up to 35.75"
    assert found[16] == "above 35.75 to 51.5"
    assert found[-2:] == ["above 67.25", "not recorded"]


def test_a_column_that_is_no_grouping_is_refused() -> None:
    with pytest.raises(InputError, match="'patient', which has 13 different values"):
        grouped("patient", [f"p{n}" for n in range(13)], "t.csv")


def test_they_reach_the_prepared_split(tmp_path: Path) -> None:
    lines = [f"{line},{'fm'[n % 2]},{30 + n}" for n, line in enumerate(rows())]
    path = write(tmp_path / "d", lines, "image_id,lesion,dx,part,sex,age")
    dataset = config(path, COLUMNS, subgroups=("sex", "age")).load(CLASSES)
    folder = tmp_path / "prepared"
    folder.mkdir()
    spec = Preprocessing(size=(8, 8), channels=1, mean=(0.5,), std=(0.5,))
    prepare(dataset, spec, folder, lambda part, text: None)
    prepared = Prepared.open(folder)
    found = prepared.subgroups("test")
    assert list(found) == ["sex", "age"]
    assert found["sex"] == ("f", "m") * 3
    assert found["age"][0] == "above 37.25 to 44.5"
    plain = config(path, COLUMNS).load(CLASSES)
    assert plain.splits["test"].subgroups == {}


def test_wrong_columns_are_refused_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "d", rows())
    with pytest.raises(InputError, match=r"subgroups names the column 'lesio', .* did you mean 'lesion'"):
        config(path, COLUMNS, subgroups=("lesio",)).load(CLASSES)
    with pytest.raises(InputError, match="names 'dx' twice"):
        config(path, COLUMNS, subgroups=("dx", "dx")).load(CLASSES)
    masks = Columns(file="images/{image_id}.png", mask="masks/{image_id}.png", split="part")
    dense = config(path, masks, subgroups=("dx",))
    with pytest.raises(InputError, match="'subgroups' is for a classification"):
        dense.load(("a", "b"), dense=True)
