"""Temperature scaling (Guo et al. 2017): one number by which logits are divided so that confidences are honest.

It changes no answer, only how sure the model says it is. It is fitted on validation images, for each artifact on
its own logits, and only ever reported on the test split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgekit.errors import InputError, missing_package
from edgekit.evaluate import classification, missing
from edgekit.evaluate.figures import softmax
from edgekit.record import Measurement

#: Metric of the figures after scaling -> the same before.
SCALED = {
    f"{metric}_scaled": metric
    for metric in ("nll", "ece", "adaptive_ece", "classwise_ece", "brier", "confidence_wrong")
}
TEMPERATURE = "temperature"
_METHOD = "the number by which logits are divided, at the least NLL of the validation split (Guo 2017)"
#: Doublings and halvings of 1 / temperature that are tried.
_REACH = 60


@dataclass(frozen=True)
class Temperature:
    """What was fitted.

    Attributes:
        value: above 0; below 1 where the model was too unsure. None where there is none.
        images: of the validation split.
        problem: why there is none.
    """

    value: float | None
    images: int
    problem: str | None = None


def fit(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """The temperature at the least NLL of logits ``[n, classes]`` and labels ``[n]``.

    NLL is convex in 1 / temperature, so its slope, mean of p . z - z_label, has one zero. There is none where every
    image is right (ever greater confidence would be better) or where the logits say less than nothing.

    Raises:
        InputError: shapes do not fit.
        MissingError: scipy is not installed.
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not truth.size:
        raise InputError(f"logits {list(values.shape)} do not fit labels {list(truth.shape)}")
    n = int(truth.size)
    if not np.isfinite(values).all():
        return Temperature(None, n, "logits of the validation split are not finite")
    own = values[np.arange(n), truth]

    def slope(log_inverse: float) -> float:
        p = softmax(values * math.exp(log_inverse))
        return float(((p * values).sum(axis=1) - own).mean())

    if float((values.mean(axis=1) - own).mean()) >= 0.0:
        return Temperature(None, n, "on the validation split its logits tell nothing of the true class")
    if bool((values.max(axis=1) == own).all()):
        return Temperature(None, n, f"all {n} images of the validation split are right, so no finite one is best")
    low = high = 0.0
    for _ in range(_REACH):
        low -= math.log(2.0) if slope(low) > 0.0 else 0.0
        high += math.log(2.0) if slope(high) < 0.0 else 0.0
    try:
        from scipy.optimize import brentq
    except ImportError:
        raise missing_package("scipy", "data") from None
    if not slope(low) <= 0.0 <= slope(high):
        return Temperature(None, n, "no finite temperature is best on the validation split")
    return Temperature(math.exp(-brentq(slope, low, high, xtol=1e-12)) if low < high else 1.0, n)


def measurements(artifact: str, found: Temperature, scaled: Sequence[Measurement]) -> list[Measurement]:
    """The temperature and the figures of ``SCALED``.

    Args:
        artifact: its name in the record.
        found: the temperature.
        scaled: what ``classification.evaluate`` says of the logits divided by it; empty where there is none.
    """
    known = {TEMPERATURE: ("1", _METHOD), **{name: classification.METRICS[of] for name, of in SCALED.items()}}
    if found.value is None:
        return missing.rows(artifact, list(known), f"temperature scaling: {found.problem}", known)
    by_name = {row.metric: row for row in scaled}
    fitted = {"temperature": found.value, "fitted_on": "val", "fitted_images": found.images}
    rows = [
        Measurement(
            artifact=artifact,
            metric=TEMPERATURE,
            unit="1",
            samples=(found.value,),
            method=_METHOD,
            conditions={"split": "val", "images": found.images},
        )
    ]
    for name, metric in SCALED.items():
        row = by_name[metric]
        rows.append(row.model_copy(update={"metric": name, "conditions": {**row.conditions, **fitted}}))
    return rows


def not_measured(artifact: str, reason: str) -> list[Measurement]:
    """The same metrics with the reason why they are missing."""
    return measurements(artifact, Temperature(None, 0, reason), ())
