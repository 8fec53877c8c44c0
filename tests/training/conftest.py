from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from edgekit.model import Model
from tests.dense_data import dense_data
from tests.networks import unet_model

SPEC = Preprocessing(size=(32, 32))


def _split(seed: int) -> Split:
    random = np.random.default_rng(seed)
    labels = np.arange(20) % 5
    pixels = (random.integers(0, 60, (20, 32, 32, 3)) + labels[:, None, None, None] * 45).astype(np.uint8)
    return Split(20, lambda index: pixels[index], labels, tuple(map(str, range(20))))


@pytest.fixture(scope="session", params=[2, 3], ids=["images", "volumes"])
def dense(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Model]:
    """Data with masks, and an untrained network for it."""
    return dense_data(tmp_path_factory.mktemp("dense"), request.param), unet_model(request.param)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Five classes that differ in brightness, for ``tests.networks.small_model``."""
    folder: Path = tmp_path_factory.mktemp("prepared")
    splits = {name: _split(seed) for seed, name in enumerate(SPLITS)}
    prepare(Dataset("tiny", tuple("abcde"), splits), SPEC, folder, lambda fraction, text: None)
    return Prepared.open(folder)
