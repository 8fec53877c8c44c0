"""Does an artifact look where its source looks? Maps of both on the same images, of the class the source names.

Agreement is Spearman's rank correlation of the two maps, image by image. Maps of different images agree somewhat as
well, since models look at the middle; how much is measured too, and stands beside it. With masks the pointing game
(Zhang et al. 2018) counts the maps whose highest point lies on the structure, or half a step of the map from it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays
from edgekit.data.prepared import Prepared
from edgekit.errors import EdgekitError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import occlusion
from edgekit.evaluate.analyses import Saliency
from edgekit.evaluate.classification import wilson
from edgekit.evaluate.figures import Floats
from edgekit.evaluate.grad_cam import grad_cam
from edgekit.evaluate.robustness import balanced
from edgekit.evaluate.robustness_figures import interval
from edgekit.evaluate.subject import Analysis, Subject, Update
from edgekit.record import SOURCE, Measurement

AGREEMENT, POINTING = "saliency_rank_correlation", "saliency_pointing_game"
GRAD_CAM = "grad_cam"
_OCCLUSION = (
    f"occlusion by squares of a quarter of the sides in {occlusion.STEPS} by {occlusion.STEPS} places, fall of the "
    "log-odds (Zeiler 2014)"
)
_GRAD_CAM = "Grad-CAM at the last layer with 4 by 4 pixels or more (Selvaraju 2017)"
#: Maps that the record keeps for a picture. They show no image.
_KEPT = 4


class _Maps(NamedTuple):
    """Maps ``[n, h, w]``, or why there are none."""

    values: Floats | None
    reason: str = ""


class SaliencyAnalysis(Analysis):
    """The analysis ``saliency`` of a recipe."""

    name = "saliency"

    def __init__(self, settings: Saliency, prepared: Prepared, bootstrap: int, seed: int) -> None:
        """
        Args:
            settings: of the recipe.
            prepared: its data, of a classification.
            bootstrap: number of resamples.
            seed: of the resamples.
        """
        self._prepared = prepared
        self._chosen = balanced(prepared.labels("test"), settings.images)
        self._masks = prepared.masks("test")
        self._bootstrap = bootstrap
        self._seed = seed
        self.key: dict[str, Any] = {
            "settings": settings.model_dump(mode="json"),
            "bootstrap": bootstrap,
            "seed": seed,
        }

    def measure(self, subject: Subject, update: Update) -> tuple[list[Measurement], str]:
        """See ``Analysis``."""
        images = self._prepared.inputs("test", self._chosen)
        if subject.source is None:
            labels = subject.logits[self._chosen].argmax(axis=1).astype(np.int64)
            np.save(subject.folder / "labels.npy", labels)
        else:
            labels = arrays.read(subject.source / "labels.npy")
        maps = np.empty((len(images), occlusion.STEPS, occlusion.STEPS))
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            maps[index] = occlusion.occlusion_map(subject, image, int(label))
            update((index + 1) / len(images), "test images")
        rows = self._of_method(subject, "", _OCCLUSION, _Maps(maps))
        if subject.network is not None:
            rows += self._of_method(subject, GRAD_CAM, _GRAD_CAM, _cam(subject, images, labels))
        agreement = next((row for row in rows if row.metric == AGREEMENT and row.samples), None)
        return rows, f"rank correlation {agreement.samples[0]:.3f}" if agreement and agreement.samples else ""

    def not_measured(self, artifact: str, reason: str) -> list[Measurement]:
        """See ``Analysis``."""
        metrics = ([] if artifact == SOURCE else [AGREEMENT]) + ([POINTING] if self._masks is not None else [])
        return [_row(artifact, metric, "", _OCCLUSION, reason=reason) for metric in metrics]

    def _of_method(self, subject: Subject, suffix: str, method: str, maps: _Maps) -> list[Measurement]:
        """The figures of one kind of map; the maps are kept for the artifacts that follow."""
        file = f"{suffix or 'occlusion'}.npy"
        if maps.values is not None:
            np.save(subject.folder / file, maps.values)
        row = functools.partial(_row, subject.artifact, suffix=suffix, method=method)
        rows = []
        if subject.source is not None:
            theirs = subject.source / file
            if maps.values is None:
                rows.append(row(AGREEMENT, reason=maps.reason))
            elif not theirs.exists():
                rows.append(row(AGREEMENT, reason="the source has no such map"))
            else:
                rows.append(row(AGREEMENT, **self._agreement(arrays.read(theirs), maps.values)))
        if self._masks is not None:
            found = {"reason": maps.reason} if maps.values is None else self._pointing(maps.values, not suffix)
            rows.append(row(POINTING, **found))
        return rows

    def _agreement(self, before: Floats, after: Floats) -> dict[str, Any]:
        if before.shape != after.shape:
            return {"reason": f"the maps are {list(after.shape[1:])}, the source's {list(before.shape[1:])}"}
        each = np.array([rank_correlation(a, b) for a, b in zip(before, after, strict=True)])
        known = np.flatnonzero(np.isfinite(each))
        if not known.size:
            return {"reason": "every map has one value throughout"}
        other = np.array([rank_correlation(a, b) for a, b in zip(before, np.roll(after, 1, axis=0), strict=True)])
        values = each[known]
        drawn = [values.mean(keepdims=True)]
        drawn += [boot.mean(w, values) for w in boot.resamples(values.size, self._bootstrap, self._seed)]
        conditions = {
            "images": int(known.size),
            "left_out": int(each.size - known.size),
            "of_other_images": float(np.nanmean(other)) if np.isfinite(other).any() else None,
            "least": float(values.min()),
            "maps": {"source": _shown(before), "artifact": _shown(after)},
        }
        ends = interval(np.concatenate(drawn))
        return {"value": float(values.mean()), "conditions": conditions, "interval": ends}

    def _pointing(self, maps: Floats, of_covers: bool) -> dict[str, Any]:
        assert self._masks is not None
        masks = np.asarray(self._masks[self._chosen]) != 0
        shown = [index for index in range(len(masks)) if masks[index].any()]
        if not shown:
            return {"reason": "no mask of the chosen images marks anything"}
        hits = sum(points_at(maps[index], masks[index], of_covers) for index in shown)
        low, high = wilson(hits, len(shown))
        conditions = {"images": len(shown), "hits": hits, "wilson_95": [low, high]}
        return {"value": hits / len(shown), "conditions": conditions, "interval": (low, high)}


def _cam(subject: Subject, images: NDArray[np.float32], labels: NDArray[np.int64]) -> _Maps:
    assert subject.network is not None
    try:
        return _Maps(grad_cam(subject.network(), images, np.asarray(labels)))
    except EdgekitError as error:
        return _Maps(None, str(error))


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation of two maps of the same shape; NaN where one has a single value."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def points_at(values: Floats, mask: NDArray[np.bool_], of_covers: bool) -> bool:
    """Whether the highest point of a map lies on the mask ``[H, W]``, or half a step of the map from it."""
    from PIL import Image

    height, width = mask.shape
    if of_covers:
        fine = occlusion.spread(values, height, width)
        step = max(height, width) * (1 - 1 / 4) / (occlusion.STEPS - 1)
    else:
        coarse = Image.fromarray(values.astype(np.float32))
        fine = np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)
        step = max(height / values.shape[0], width / values.shape[1])
    # Pixels that one set of covers hides share their value: the middle of the highest ones is the point.
    point = np.argwhere(fine >= fine.max() - 1e-12).mean(axis=0)
    return bool(np.hypot(*(np.argwhere(mask) - point).T).min() <= step / 2)


def _shown(maps: Floats) -> list[list[list[float]]]:
    """The first maps, each scaled so that its largest size is 1, for a picture."""
    first = maps[:_KEPT]
    largest = np.abs(first).max(axis=(1, 2), keepdims=True)
    scaled: list[list[list[float]]] = np.round(first / np.where(largest > 0, largest, 1.0), 2).tolist()
    return scaled


def _row(
    artifact: str,
    metric: str,
    suffix: str,
    method: str,
    *,
    value: float | None = None,
    reason: str | None = None,
    conditions: dict[str, Any] | None = None,
    interval: Sequence[float] | None = None,
) -> Measurement:
    what = {
        AGREEMENT: "mean over images of Spearman's rank correlation with the source's map; 95 % bootstrap interval",
        POINTING: "share of maps whose highest point lies on the mask (Zhang 2018); Wilson interval",
    }[metric]
    return Measurement(
        artifact=artifact,
        metric=f"{metric}/{suffix}" if suffix else metric,
        unit="share" if metric == POINTING else "correlation",
        samples=None if value is None else (value,),
        not_measured_reason=reason,
        method=f"{what}; {method}",
        conditions={"split": "test", **(conditions or {})},
        interval=None if interval is None else (interval[0], interval[1]),
    )
