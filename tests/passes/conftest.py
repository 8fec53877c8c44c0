from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from edgekit.model import Model, create
from edgekit.passes import Context, Finetune
from edgekit.recipe import ModelConfig
from tests.dense_data import dense_data
from tests.networks import unet_model

CLASSES = ("dark", "bright")
COUNTS = {"train": (30, 10), "val": (8, 8), "test": (4, 4)}
SPEC = Preprocessing(size=(32, 32))


def _split(counts: tuple[int, int], seed: int) -> Split:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(2), counts)
    images = random.integers(0, 120, (len(labels), 32, 32, 3)) + labels[:, None, None, None] * 90
    pixels = images.astype(np.uint8)
    return Split(len(labels), lambda index: pixels[index], labels, tuple(map(str, range(len(labels)))))


@pytest.fixture(scope="session", params=[2, 3], ids=["images", "volumes"])
def dense(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Model]:
    """Data with masks, and a network that has learned a little from it."""
    data, model = dense_data(tmp_path_factory.mktemp("dense"), request.param), unet_model(request.param)
    settings = Finetune(epochs=8, batch_size=4, learning_rate=0.02)
    return data, settings.apply(model, Context(data)).model


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Two classes that differ in brightness, the second one rarer in training."""
    folder: Path = tmp_path_factory.mktemp("prepared")
    splits = {name: _split(COUNTS[name], seed) for seed, name in enumerate(SPLITS)}
    prepare(Dataset("tiny", CLASSES, splits), SPEC, folder, lambda fraction, text: None)
    return Prepared.open(folder)


@pytest.fixture(scope="session")
def resnet() -> Model:
    """timm's tiny ResNet for tests."""
    return create(ModelConfig(architecture="test_resnet"), CLASSES, SPEC, None)[0]


@pytest.fixture(scope="session")
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
