"""AUROC and false positives against scikit-learn; the sets; a model whose confidence tells nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

from edgekit.data import unlabelled
from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.prepared import Prepared, prepare
from edgekit.errors import InputError
from edgekit.evaluate.analyses import OutOfDistribution
from edgekit.evaluate.out_of_distribution import OutOfDistributionAnalysis, confidence
from edgekit.evaluate.subject import Subject
from edgekit.record import Measurement

SPEC = Preprocessing(size=(16, 16), channels=1, mean=(0.0,), std=(1.0,))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Stripes, upright or lying."""

    def image(index: int) -> NDArray[np.uint8]:
        rows, columns = np.indices((16, 16))
        return ((rows if index % 2 else columns) % 4 * 60 + index % 7).astype(np.uint8)

    folder = tmp_path_factory.mktemp("stripes")
    split = Split(60, image, np.arange(60) % 2, tuple(map(str, range(60))))
    data = Dataset("stripes", ("upright", "lying"), dict.fromkeys(SPLITS, split))
    prepare(data, SPEC, folder, lambda fraction, text: None)
    return Prepared.open(folder)


def by_edges(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction of the edges, and the surer the more they agree."""
    along = np.abs(np.diff(inputs[:, 0], axis=2)).mean(axis=(1, 2))
    across = np.abs(np.diff(inputs[:, 0], axis=1)).mean(axis=(1, 2))
    return np.stack([along - across, across - along], axis=1) * 20


def measured(
    prepared: Prepared, folder: Path, settings: OutOfDistribution, source: Path | None = None
) -> dict[str, Measurement]:
    folder.mkdir()
    analysis = OutOfDistributionAnalysis(settings, prepared, 200, 0)
    logits = by_edges(prepared.inputs("test"))
    rows, note = analysis.measure(Subject("a", by_edges, 7, logits, folder, source), lambda fraction, text: None)
    assert note.startswith("AUROC noise ")
    assert [one.metric for one in analysis.not_measured("a", "why")] == [one.metric for one in rows]
    return {one.metric: one for one in rows}


def test_confidence_tells_pictures_of_nothing_apart(prepared: Prepared, tmp_path: Path) -> None:
    rows = measured(prepared, tmp_path / "a", OutOfDistribution(images=40))
    for kind in ("noise", "flat", "permuted"):
        assert rows[f"ood_auroc/{kind}"].samples == (1.0,)
        assert rows[f"ood_fpr95/{kind}"].samples == (0.0,)
        assert rows[f"ood_auroc/{kind}"].conditions == {"images": 40, "test_images": 60}
    # No edge at all: the two classes are equally likely.
    assert rows["ood_confidence/flat"].samples == (0.5,)


def test_a_source_of_the_same_answers_differs_by_nothing(prepared: Prepared, tmp_path: Path) -> None:
    measured(prepared, tmp_path / "a", OutOfDistribution(images=40))
    rows = measured(prepared, tmp_path / "b", OutOfDistribution(images=40), tmp_path / "a")
    for one in rows.values():
        assert one.conditions["less_source"]["value"] == 0.0
        assert one.conditions["less_source"]["interval"] == [0.0, 0.0]


def test_figures_against_scikit_learn(prepared: Prepared) -> None:
    random = np.random.default_rng(0)
    inside, outside = (random.normal(0, spread, (n, 4)).astype(np.float32) for spread, n in ((2.0, 80), (1.2, 50)))
    inside[:30] = np.round(inside[:30])  # ties
    outside[:20] = np.round(outside[:20])
    analysis = OutOfDistributionAnalysis(OutOfDistribution(), prepared, 100, 0)
    found = analysis._figures(inside, outside)
    both = np.concatenate([inside, outside]).astype(np.float64)
    probability = np.exp(both) / np.exp(both).sum(axis=1, keepdims=True)
    scores, truth = np.round(probability.max(axis=1), 12), np.arange(130) < 80
    assert found["ood_auroc"][0] == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["ood_fpr95"][0] == pytest.approx(false[np.argmax(true >= 0.95)])
    assert found["ood_confidence"][0] == pytest.approx(scores[80:].mean())
    assert found["ood_auroc"].shape == (101,)


def test_confidence_does_not_saturate() -> None:
    logits = np.array([[60.0, 0.0, 0.0], [90.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    assert np.argsort(confidence(logits)).tolist() == [2, 0, 1]


def test_generated_sets(prepared: Prepared) -> None:
    like = prepared.pixels("test", [0, 1, 2])
    permuted = unlabelled.generate("permuted", like, SPEC, 0)
    assert all(np.array_equal(np.sort(a.ravel()), np.sort(b.ravel())) for a, b in zip(permuted, like, strict=True))
    assert not np.array_equal(permuted, like)
    flat = unlabelled.generate("flat", like, SPEC, 0)
    assert flat.std(axis=(1, 2, 3)).tolist() == [0.0] * 3
    assert len(np.unique(flat)) == 3
    colour, spec = np.repeat(like, 3, axis=3), Preprocessing(size=(16, 16))
    noise = unlabelled.generate("noise", colour, spec, 0)
    assert noise.shape == (3, 16, 16, 3)
    # Gray data gets gray noise.
    assert bool((noise == noise[..., :1]).all())
    assert np.array_equal(noise, unlabelled.generate("noise", colour, spec, 0))


def test_images_of_a_folder_and_of_an_npz(tmp_path: Path) -> None:
    (tmp_path / "other" / "deep").mkdir(parents=True)
    for index in range(5):
        pixels = np.full((40, 20, 3), 10 * index, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "other" / "deep" / f"{index}.png")
    found = unlabelled.read_images(tmp_path / "other", 3, SPEC)
    assert found.shape == (3, 16, 16, 1)
    assert found.mean(axis=(1, 2, 3)).tolist() == [0, 20, 40]
    np.savez(tmp_path / "other.npz", test_images=np.full((4, 8, 8), 7, np.uint8))
    assert unlabelled.read_images(tmp_path / "other.npz", 10, SPEC).shape == (4, 16, 16, 1)
    np.savez(tmp_path / "none.npz", labels=np.zeros(3))
    with pytest.raises(InputError, match="no array of images in it"):
        unlabelled.read_images(tmp_path / "none.npz", 10, SPEC)
    np.savez(tmp_path / "deep.npz", test_images=np.zeros((3, 8, 8), np.uint16))
    with pytest.raises(InputError, match="test_images is uint16"):
        unlabelled.read_images(tmp_path / "deep.npz", 10, SPEC)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images in it"):
        unlabelled.read_images(tmp_path / "empty", 10, SPEC)


def test_logits_that_are_not_finite_give_no_figure(prepared: Prepared, tmp_path: Path) -> None:
    def broken(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return by_edges(inputs) * np.float32(np.nan)

    analysis = OutOfDistributionAnalysis(OutOfDistribution(generated=("noise",), images=20), prepared, 100, 0)
    subject = Subject("a", broken, 4, by_edges(prepared.inputs("test")), tmp_path, None)
    rows, note = analysis.measure(subject, lambda fraction, text: None)
    assert {one.not_measured_reason for one in rows} == {"the logits of 20 images are not finite"}
    assert note == ""
