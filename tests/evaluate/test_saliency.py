"""Maps of models that look at a known place: equal models agree, one that looks elsewhere does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn

from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from edgekit.errors import UnsupportedError
from edgekit.evaluate import occlusion
from edgekit.evaluate.analyses import Saliency
from edgekit.evaluate.grad_cam import grad_cam
from edgekit.evaluate.saliency import SaliencyAnalysis, points_at, rank_correlation
from edgekit.evaluate.subject import Run, Subject
from edgekit.record import Measurement

SIDE = 32


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A bright spot somewhere, which the mask marks: upper half, or lower half."""

    def place(index: int) -> tuple[int, int]:
        random = np.random.default_rng(index)
        return int(random.integers(0, 10)) + (16 if index % 2 else 0), int(random.integers(0, 26))

    def image(index: int) -> NDArray[np.uint8]:
        pixels = np.random.default_rng(index).integers(0, 40, (SIDE, SIDE))
        row, column = place(index)
        pixels[row : row + 6, column : column + 6] += 200
        return pixels.astype(np.uint8)

    def mask(index: int) -> NDArray[np.uint8]:
        marked = np.zeros((SIDE, SIDE), np.uint8)
        row, column = place(index)
        marked[row : row + 6, column : column + 6] = 1
        return marked

    folder = tmp_path_factory.mktemp("spots")
    split = Split(40, image, np.arange(40) % 2, tuple(map(str, range(40))), mask=mask)
    spec = Preprocessing(size=(SIDE, SIDE), channels=1, mean=(0.0,), std=(1.0,))
    data = Dataset("spots", ("upper", "lower"), dict.fromkeys(SPLITS, split))
    prepare(data, spec, folder, lambda fraction, text: None)
    return Prepared.open(folder)


def by_spot(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Which half holds more that is bright."""
    bright = np.maximum(inputs[:, 0] - 0.3, 0.0).sum(axis=2)
    lower = bright[:, 16:].sum(axis=1) - bright[:, :16].sum(axis=1)
    return np.stack([-lower, lower], axis=1)


def by_corner(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Looks at one corner, whatever the image shows."""
    seen = inputs[:, 0, :6, :6].mean(axis=(1, 2)) - 0.1
    return np.stack([seen, -seen], axis=1)


def measured(
    prepared: Prepared, folder: Path, model: Run, source: Path | None, network: nn.Module | None = None
) -> dict[str, Measurement]:
    folder.mkdir()
    analysis = SaliencyAnalysis(Saliency(images=12), prepared, 200, 0)
    logits = model(prepared.inputs("test"))
    subject = Subject("a", model, 16, logits, folder, source, None if network is None else lambda: network)
    rows, _ = analysis.measure(subject, lambda fraction, text: None)
    return {one.metric: one for one in rows}


def test_two_equal_models_agree(spots: Prepared, tmp_path: Path) -> None:
    measured(spots, tmp_path / "source", by_spot, None)
    found = measured(spots, tmp_path / "same", by_spot, tmp_path / "source")["saliency_rank_correlation"]
    assert found.samples == pytest.approx((1.0,))
    assert found.interval == pytest.approx((1.0, 1.0))
    assert found.conditions["images"] == 12
    # Spots lie elsewhere in the next image.
    assert found.conditions["of_other_images"] < 0.6


def test_a_model_that_looks_elsewhere_does_not(spots: Prepared, tmp_path: Path) -> None:
    source = measured(spots, tmp_path / "source", by_spot, None)
    other = measured(spots, tmp_path / "other", by_corner, tmp_path / "source")
    agreement = other["saliency_rank_correlation"]
    assert agreement.samples is not None
    assert agreement.samples[0] < 0.5
    assert source["saliency_pointing_game"].samples == (1.0,)
    assert other["saliency_pointing_game"].samples is not None
    assert other["saliency_pointing_game"].samples[0] < 0.5
    assert "saliency_rank_correlation" not in source


def test_the_record_keeps_a_few_maps_and_no_image(spots: Prepared, tmp_path: Path) -> None:
    measured(spots, tmp_path / "source", by_spot, None)
    row = measured(spots, tmp_path / "same", by_spot, tmp_path / "source")["saliency_rank_correlation"]
    maps = np.array(row.conditions["maps"]["source"])
    assert maps.shape == (4, occlusion.STEPS, occlusion.STEPS)
    assert np.abs(maps).max() == 1.0


def test_a_cover_costs_what_it_hides(spots: Prepared, tmp_path: Path) -> None:
    """A model that sums the image: the fall under a cover is the covered sum above the mean, times two."""

    def total(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = inputs.sum(axis=(1, 2, 3))
        return np.stack([seen, -seen], axis=1)

    image = spots.inputs("test", [3])[0]
    subject = Subject("a", total, 16, np.zeros((40, 2), np.float32), tmp_path, None)
    found = occlusion.occlusion_map(subject, image, 0)
    places = occlusion.cover(SIDE, SIDE)
    assert places.size == (8, 8)
    assert places.rows.tolist() == places.columns.tolist() == [0, 4, 8, 12, 16, 20, 24]
    part = image[0, 8:16, 20:28] - image.mean()
    assert found[2, 5] == pytest.approx(2 * part.sum(), abs=1e-3)


def test_rank_correlation() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 5, (2, 7, 7)).astype(np.float64)
    ranks = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    assert rank_correlation(one, other) == pytest.approx(ranks)
    assert rank_correlation(one, np.exp(3 * one)) == pytest.approx(1.0)
    assert np.isnan(rank_correlation(one, np.zeros((7, 7))))


def test_pointing() -> None:
    values = np.zeros((7, 7))
    values[6, 0] = 1.0
    mask = np.zeros((64, 64), dtype=np.bool_)
    mask[54:60, 4:10] = True
    assert points_at(values, mask, of_covers=True)
    assert not points_at(values, mask[::-1], of_covers=True)
    assert points_at(np.eye(8)[::-1], np.eye(64, dtype=np.bool_)[::-1], of_covers=False)


class _Net(nn.Module):
    """A convolution that finds the spot, its mean over each half, and no class but these."""

    def __init__(self) -> None:
        super().__init__()
        blur = nn.Conv2d(1, 1, 3, padding=1)
        self.features = nn.Sequential(blur, nn.ReLU(inplace=True), nn.AvgPool2d(4))
        self.head = nn.Linear(64, 2)
        with torch.no_grad():
            blur.load_state_dict({"weight": torch.full((1, 1, 3, 3), 1 / 9), "bias": torch.tensor([-0.4])})
            half = torch.cat([torch.ones(32), -torch.ones(32)])
            self.head.weight.copy_(torch.stack([half, -half]))
            self.head.bias.zero_()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(inputs).flatten(1))
        return logits


def test_grad_cam_of_a_network_and_of_its_copy(spots: Prepared, tmp_path: Path) -> None:
    network = _Net().eval()

    def run(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = network(torch.from_numpy(inputs)).numpy()
        return found

    images = spots.inputs("test", [0, 1])
    maps = grad_cam(network, images, np.array([0, 0]))
    assert maps.shape == (2, 8, 8)
    # Its gradients are 1 above and -1 below: their mean is 0, and so is Grad-CAM's weight of the only channel.
    assert np.abs(maps).max() < 1e-6
    with torch.no_grad():
        network.head.weight[:, 32:] = 0
    row, column = np.argwhere(spots.masks("test")[0]).mean(axis=0)  # type: ignore[index]
    found = grad_cam(network, images[:1], np.array([0]))[0]
    assert np.hypot(*(np.array(np.unravel_index(found.argmax(), found.shape)) * 4 + 1.5 - (row, column))) < 4
    measured(spots, tmp_path / "source", run, None, network)
    rows = measured(spots, tmp_path / "same", run, tmp_path / "source", network)
    assert rows["saliency_rank_correlation/grad_cam"].samples == pytest.approx((1.0,))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_of_tokens_has_no_such_map() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2))
    with pytest.raises(UnsupportedError, match="no layer of the network gives a map of 4 by 4 pixels"):
        grad_cam(network, np.zeros((1, 1, SIDE, SIDE), np.float32), np.array([0]))


def test_what_cannot_run_is_not_measured(spots: Prepared) -> None:
    rows = SaliencyAnalysis(Saliency(), spots, 100, 0).not_measured("a", "why")
    assert [one.metric for one in rows] == ["saliency_rank_correlation", "saliency_pointing_game"]
