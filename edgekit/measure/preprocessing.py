"""What an image costs before the network sees it: decoding, resizing, normalizing. Timed apart from inference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit import arrays
from edgekit.data import preprocess, windows
from edgekit.measure.machine import describe, fingerprint
from edgekit.record import SOURCE, Measurement

if TYPE_CHECKING:
    from edgekit.data.base import Dataset, Preprocessing

METRIC = "preprocessing_s"
#: Images that are timed, evenly over the test split.
_IMAGES = 20
STEPS = ("decode", "resize", "normalize")
_METHOD = (
    "wall time of reading and decoding (or drawing) one image of the test split, resizing it (or cutting it into "
    "windows) and normalizing it, with NumPy and Pillow in one thread, the file in the page cache"
)


def times(dataset: Dataset, spec: Preprocessing) -> dict[str, Any]:
    """Time each step on images of the test split, every one of them once before, untimed.

    Returns:
        ``machine``, its fingerprint, and a list of seconds for each of ``STEPS``.
    """
    split = dataset.splits["test"]
    found: dict[str, list[float]] = {step: [] for step in STEPS}
    for index in map(int, arrays.spread(split.count, _IMAGES)):
        split.image(index)
        clock = [time.perf_counter()]
        image = split.image(index)
        clock.append(time.perf_counter())
        pixels = preprocess.apply(image, spec)[None]
        if spec.fit == "window":
            starts = windows.grid(pixels.shape[1:-1], spec.size, spec.overlap)
            pixels = np.stack([windows.cut(pixels[0], start, spec.size, None) for start in starts])
        clock.append(time.perf_counter())
        preprocess.normalize(pixels, spec)
        clock.append(time.perf_counter())
        for step, before, after in zip(STEPS, clock, clock[1:], strict=False):
            found[step].append(after - before)
    return {"machine": fingerprint(describe()), **found}


def measurement(timed: Mapping[str, Any]) -> Measurement:
    """The row of the record: one sample an image, its steps in the conditions."""
    conditions = {f"{step}_s": list(timed[step]) for step in STEPS}
    if timed["machine"] != fingerprint(describe()):
        why = "the data was prepared on another machine, and a reused stage says nothing of this one"
        return Measurement(artifact=SOURCE, metric=METRIC, unit="s", not_measured_reason=why, method=_METHOD)
    samples = tuple(sum(steps) for steps in zip(*(timed[step] for step in STEPS), strict=True))
    return Measurement(
        artifact=SOURCE, metric=METRIC, unit="s", samples=samples, method=_METHOD, conditions=conditions
    )
