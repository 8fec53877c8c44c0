"""What a recipe makes of images that two splits share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edgekit import hygiene
from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from edgekit.errors import InputError
from edgekit.progress import Reporter
from edgekit.stages import Stages
from edgekit.store import Finished, Store


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Stages]:
    kept = Store(tmp_path / "run", "test")
    yield Stages(kept, Reporter(Console(file=io.StringIO())))
    kept.close()


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """The first test image is the first training image."""
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32)).astype(np.uint8)
    place = {"train": [0, 1, 2, 3], "val": [4, 5, 6, 7], "test": [0, 9, 10, 11]}
    splits = {
        name: Split(4, images[place[name]].__getitem__, np.arange(4) % 2, ("a", "b", "c", "d")) for name in SPLITS
    }
    folder = tmp_path / "data"
    folder.mkdir()
    spec = Preprocessing(size=(32, 32), channels=1, mean=(0.0,), std=(1.0,))
    prepare(Dataset("noise", ("a", "b"), splits), spec, folder, lambda fraction, text: None)
    return Prepared.open(folder)


def test_warn_is_a_warning(stages: Stages, prepared: Prepared) -> None:
    data = Finished("key", prepared.folder, {}, 0.0, False)
    found, said = hygiene.check(stages, data, prepared, "warn")
    assert found["across"][1] == {"splits": ["train", "test"], "exact": 1, "near": 0, "first": [["a", "a"]]}
    assert len(said) == 1
    assert "1 of 4 images of 'test' are the same as one of 'train'" in said[0]


def test_error_stops_the_run(stages: Stages, prepared: Prepared) -> None:
    data = Finished("key", prepared.folder, {}, 0.0, False)
    with pytest.raises(InputError, match=r"data\.leakage: 1 of 4 images of 'test' .* 'leakage: warn' to go on"):
        hygiene.check(stages, data, prepared, "error")


def test_ignore_does_not_look(stages: Stages, prepared: Prepared) -> None:
    data = Finished("key", prepared.folder, {}, 0.0, False)
    assert hygiene.check(stages, data, prepared, "ignore") == (
        {"not_measured": "the recipe says data.leakage: ignore"},
        [],
    )
    assert stages.done == []
