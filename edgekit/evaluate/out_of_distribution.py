"""How sure a classifier is of images that it was not made for, and whether its confidence tells them apart.

The detector is the baseline of Hendrycks and Gimpel (2017): the probability of the predicted class. AUROC is the
probability that an image of the test split gets more confidence than one of the other set, ties as half; 0.5 means
that confidence tells nothing. Ranks are those of the log-odds, which do not saturate where probabilities are 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays, store
from edgekit.data import preprocess, unlabelled
from edgekit.data.prepared import Prepared
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import differences
from edgekit.evaluate.analyses import OutOfDistribution
from edgekit.evaluate.figures import Floats, log_odds, softmax
from edgekit.evaluate.robustness_figures import interval
from edgekit.evaluate.subject import Analysis, Subject, Update
from edgekit.record import Measurement

AUROC, FPR, CONFIDENCE = "ood_auroc", "ood_fpr95", "ood_confidence"
METHODS = {
    AUROC: "area under the ROC curve of the confidence, test split against the other images (Hendrycks 2017)",
    FPR: "share of the other images that are as confident as the 95 % most confident of the test split",
    CONFIDENCE: "mean probability of the predicted class on the other images",
}
#: Share of the test split that a threshold keeps.
_KEPT = 0.95


class OutOfDistributionAnalysis(Analysis):
    """The analysis ``out_of_distribution`` of a recipe."""

    name = "out_of_distribution"

    def __init__(self, settings: OutOfDistribution, prepared: Prepared, bootstrap: int, seed: int) -> None:
        """
        Args:
            settings: of the recipe.
            prepared: its data, of a classification.
            bootstrap: number of resamples.
            seed: of the generated images and of the resamples.

        Raises:
            InputError: the images at ``settings.path`` cannot be read.
        """
        spec = prepared.preprocessing
        like = prepared.pixels("test", prepared.spread("test", settings.images))
        self._sets: dict[str, NDArray[Any]] = {
            kind: unlabelled.generate(kind, like, spec, seed) for kind in settings.generated
        }
        if settings.path is not None:
            name = settings.path.stem
            self._sets[f"{name}_images" if name in self._sets else name] = unlabelled.read_images(
                settings.path, settings.images, spec
            )
        self._spec = spec
        self._bootstrap = bootstrap
        self._seed = seed
        self.key: dict[str, Any] = {
            "settings": settings.model_dump(mode="json"),
            "path": None if settings.path is None else store.file_sha256(settings.path),
            "bootstrap": bootstrap,
            "seed": seed,
        }

    def measure(self, subject: Subject, update: Update) -> tuple[list[Measurement], str]:
        """See ``Analysis``."""
        rows: list[Measurement] = []
        np.save(subject.folder / "test.npy", subject.logits)
        for index, (name, images) in enumerate(self._sets.items()):
            logits = subject.answers(preprocess.normalize(images, self._spec))
            np.save(subject.folder / f"{index}.npy", logits)
            before = None
            if subject.source is not None:
                before = arrays.read(subject.source / "test.npy"), arrays.read(subject.source / f"{index}.npy")
            rows += self._rows(subject.artifact, name, (subject.logits, logits), before)
            update((index + 1) / len(self._sets), name)
        known = [
            f"{one.metric.partition('/')[2]} {one.samples[0]:.3f}"
            for one in rows
            if one.samples and one.metric.startswith(AUROC)
        ]
        return rows, f"AUROC {', '.join(known)}" if known else ""

    def not_measured(self, artifact: str, reason: str) -> list[Measurement]:
        """See ``Analysis``."""
        return [
            self._row(artifact, f"{kind}/{name}", None, reason=reason) for name in self._sets for kind in METHODS
        ]

    def _rows(
        self,
        artifact: str,
        name: str,
        logits: tuple[NDArray[np.float32], NDArray[np.float32]],
        before: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    ) -> list[Measurement]:
        bad = sum(int((~np.isfinite(one).all(axis=1)).sum()) for one in logits)
        if bad:
            why = f"the logits of {bad} images are not finite"
            return [self._row(artifact, f"{kind}/{name}", None, reason=why) for kind in METHODS]
        after = self._figures(*logits)
        source = None
        if before is not None and all(bool(np.isfinite(one).all()) for one in before):
            source = self._figures(*before)
        images = {"images": len(logits[1]), "test_images": len(logits[0])}
        return [
            self._row(
                artifact, f"{kind}/{name}", drawn, source=None if source is None else source[kind], images=images
            )
            for kind, drawn in after.items()
        ]

    def _figures(self, inside: NDArray[np.float32], outside: NDArray[np.float32]) -> dict[str, Floats]:
        """Each figure ``[1 + bootstrap]``: its value, then that of each resample of both sets."""
        both = np.concatenate([inside, outside]).astype(np.float64)
        scores = confidence(both)
        positive = np.arange(len(both)) < len(inside)
        probability = softmax(both).max(axis=1)
        found: dict[str, list[Floats]] = {kind: [] for kind in METHODS}
        blocks = zip(
            boot.resamples(len(inside), self._bootstrap, self._seed),
            _blocks(len(outside), self._bootstrap, self._seed, len(inside)),
            strict=True,
        )
        for weights in (np.ones((1, len(both))), *(np.concatenate(pair, axis=1) for pair in blocks)):
            found[AUROC].append(boot.auc(weights, scores, positive))
            found[FPR].append(_false_positives(weights, scores, positive))
            found[CONFIDENCE].append(boot.mean_among(weights, probability, ~positive))
        return {kind: np.concatenate(parts) for kind, parts in found.items()}

    def _row(
        self,
        artifact: str,
        metric: str,
        drawn: Floats | None,
        *,
        source: Floats | None = None,
        reason: str | None = None,
        images: dict[str, int] | None = None,
    ) -> Measurement:
        conditions: dict[str, Any] = dict(images or {})
        if drawn is not None and source is not None:
            conditions[differences.KEY] = differences.of_draws(drawn, source)
        return Measurement(
            artifact=artifact,
            metric=metric,
            unit="share",
            samples=None if drawn is None else (float(drawn[0]),),
            not_measured_reason=reason,
            method=f"{METHODS[metric.partition('/')[0]]}; 95 % percentile bootstrap over images",
            conditions=conditions,
            interval=None if drawn is None else interval(drawn),
        )


def confidence(logits: Floats) -> Floats:
    """Log-odds ``[n]`` of the predicted class, which order images as its probability does."""
    predicted = logits.argmax(axis=1)
    odds = np.stack([log_odds(logits, k) for k in range(logits.shape[1])], axis=1)
    found: Floats = odds[np.arange(len(logits)), predicted]
    return found


def _blocks(count: int, resamples: int, seed: int, beside: int) -> Any:
    """Resamples of ``count`` images in blocks as large as those of ``beside`` images, with draws of their own."""
    random = np.random.default_rng((seed, 1))
    for block in boot.resamples(beside, resamples, seed):
        yield random.multinomial(count, np.full(count, 1 / count), len(block)).astype(np.float64)


def _false_positives(weights: Floats, scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Weighted share of the other images that reach the threshold which keeps 95 % of the test split."""
    order = np.argsort(-scores, kind="stable")
    ordered, inside = scores[order], positive[order]
    kept = np.cumsum(weights[:, order] * inside, axis=1)
    last = (kept >= _KEPT * kept[:, -1:] - 1e-9).argmax(axis=1)
    passed = ordered[None] >= ordered[last][:, None]
    outside = weights[:, order] * ~inside
    share: Floats = (outside * passed).sum(axis=1) / outside.sum(axis=1)
    return share
