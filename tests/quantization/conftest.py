from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.data.base import Dataset, Preprocessing, Split, SplitName
from edgekit.data.prepared import Prepared, prepare
from edgekit.model import Model

CLASSES = ("a", "b", "c", "d")
SPEC = Preprocessing(size=(32, 32))
COUNTS: dict[SplitName, int] = {"train": 40, "val": 96, "test": 8}


class Awkward(nn.Module):
    """One layer, ``harmed``, reads a tensor of which one channel is 2,000 times as large as the others."""

    gain: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.wide = nn.Conv2d(8, 8, 3, 1, 1)
        self.harmed = nn.Conv2d(8, 16, 1)
        self.after = nn.Conv2d(16, 16, 3, 2, 1)
        self.head = nn.Linear(16, len(CLASSES))
        gain = torch.ones(1, 8, 1, 1)
        gain[0, 3] = 2000.0
        self.register_buffer("gain", gain)
        with torch.no_grad():
            self.harmed.weight[:, 3] /= 2000.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu(self.wide(nn.functional.relu(self.stem(x))))
        x = nn.functional.relu(self.harmed(x * self.gain))
        logits: torch.Tensor = self.head(nn.functional.relu(self.after(x)).mean((2, 3)))
        return logits


def _pictures(count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = nn.functional.interpolate(coarse, size=SPEC.size, mode="bilinear")
    return (fine * 255).byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="session")
def awkward() -> Model:
    """Its logits are spread, so that classes do not turn on the last bit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Awkward().eval()
    with torch.no_grad():
        from edgekit.data.preprocess import normalize

        logits = network(torch.from_numpy(normalize(_pictures(256, 9), SPEC)))
        scale = 4.0 / logits.std(0)
        network.head.weight.mul_(scale[:, None])
        network.head.bias.sub_(logits.mean(0)).mul_(scale)
    return Model("module", {}, len(CLASSES), (3, *SPEC.size), "tests.quantization.conftest:Awkward", (), network)


@pytest.fixture(scope="session")
def data(awkward: Model, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Smooth images, each labelled as the float network ``awkward`` calls it."""
    from edgekit.data.preprocess import normalize

    folder: Path = tmp_path_factory.mktemp("awkward")
    splits = {}
    for seed, (name, count) in enumerate(COUNTS.items()):
        pixels = _pictures(count, seed)
        with torch.no_grad():
            labels = awkward.network(torch.from_numpy(normalize(pixels, SPEC))).argmax(1).numpy()
        ids = tuple(f"{name}{one}" for one in range(count))
        splits[name] = Split(count, lambda index, pixels=pixels: pixels[index], labels, ids)  # type: ignore[misc]
    prepare(Dataset("awkward", CLASSES, splits), SPEC, folder, lambda fraction, text: None)
    return Prepared.open(folder)
