from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.base import Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from edgekit.passes.base import PassError
from edgekit.training.folds import Pool, divide

CLASSES = ("a", "b")


def prepared(folder: Path, grouped: bool, counts: tuple[int, int] = (60, 30)) -> Prepared:
    """Images whose first pixel is their place in the pool; three images a patient where ``grouped``."""
    folder.mkdir()
    splits: dict[Any, Split] = {}
    first = 0
    for name, n in (("train", counts[0]), ("val", counts[1]), ("test", 6)):
        pixels = (
            np.zeros((n, 8, 8, 1), dtype=np.uint8)
            + np.arange(first, first + n, dtype=np.uint8)[:, None, None, None]
        )
        labels = (np.arange(n) // 3 % 3 == 0).astype(np.int64)
        groups = tuple(f"{name}-{index // 3}" for index in range(n)) if grouped else None
        ids = tuple(map(str, range(n)))
        splits[name] = Split(n, lambda index, pixels=pixels: pixels[index, :, :, 0], labels, ids, groups)  # type: ignore[misc]
        first += n
    spec = Preprocessing(size=(8, 8), channels=1, mean=(0.5,), std=(0.5,))
    prepare(Dataset("toy", CLASSES, splits), spec, folder, lambda fraction, text: None)
    return Prepared.open(folder)


def place(pixels: NDArray[np.uint8]) -> list[int]:
    return [int(one[0, 0, 0]) for one in pixels]


@pytest.mark.parametrize("grouped", [True, False])
def test_division(tmp_path: Path, grouped: bool) -> None:
    pool = Pool(prepared(tmp_path / "data", grouped))
    folds = divide(pool, 5, 0, "finetune.cross_validation")
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(90)), "each image held out once"
    for fold in folds:
        parts = (fold.train, fold.val, fold.held_out)
        assert sorted(np.concatenate(parts)) == list(range(90))
        groups = [set(pool.groups[part]) for part in parts]
        assert sum(map(len, groups)) == len(set().union(*groups)), "a group is divided"
        assert len(fold.train) / (len(fold.train) + len(fold.val)) == pytest.approx(0.8, abs=0.05)
        for part in parts:
            expected = pool.labels.mean() * len(part)
            assert abs(pool.labels[part].sum() - expected) <= 3, "the classes are off by more than one patient"
        assert place(fold.pixels("train", np.array([3, 0]))) == [fold.train[3], fold.train[0]]
        assert place(fold.pixels("val", np.arange(len(fold.val)))) == list(fold.val)
        assert np.array_equal(fold.labels("val"), pool.labels[fold.val])
        with pytest.raises(ValueError, match="no test split"):
            fold.labels("test")
    again = divide(pool, 5, 0, "finetune.cross_validation")
    other = divide(pool, 5, 1, "finetune.cross_validation")
    assert all(np.array_equal(a.train, b.train) for a, b in zip(folds, again, strict=True))
    assert not all(np.array_equal(a.train, b.train) for a, b in zip(folds, other, strict=True))


def test_too_few_patients_of_a_class(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", True, counts=(18, 9))
    with pytest.raises(
        PassError, match=r"'b' has 3 groups \(patients or lesions\).*too few for 5 folds.*fewer folds"
    ):
        divide(Pool(data), 5, 0, "finetune.cross_validation")
