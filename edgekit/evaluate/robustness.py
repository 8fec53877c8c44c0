"""The error on corrupted images: of the source and of an artifact, on the same images.

Hendrycks and Dietterich (2019) average the error over five severities and divide its rise above that on clean
images by the rise of a reference, here the source (their relative corruption error). The error is 1 - balanced
accuracy, in segmentation 1 - mean Dice. An image whose logits are not finite counts as wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays
from edgekit.data import corruptions as corrupted
from edgekit.data import preprocess
from edgekit.data.base import IGNORE
from edgekit.data.corruptions import CORRUPTIONS, CorruptedImages, Corruption
from edgekit.errors import InputError
from edgekit.evaluate import overlap
from edgekit.evaluate.sliding_window import assemble, assemble_mask

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.evaluate.analyses import Robustness

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
CLEAN = "clean"


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        corruptions: in order.
        severities: of each.
        chosen: indices of images, or of cases, in the test split.
        strata: ``[n]``: the class of each chosen image; in segmentation 0.
        units: ``[n]``: what is resampled as one: each image, or all cases of a patient.
        left_out: corruptions that are not applied, and why.
        seed: of the corruptions and of the resamples.
        images: the chosen images, corrupted; none in segmentation, whose cases are made one by one.
    """

    corruptions: tuple[Corruption, ...]
    severities: tuple[int, ...]
    chosen: NDArray[np.int64]
    strata: NDArray[np.int64]
    units: NDArray[np.int64]
    left_out: dict[str, str]
    seed: int
    images: CorruptedImages | None

    @property
    def conditions(self) -> list[tuple[Corruption, int] | None]:
        """What is run, in order: the clean images first, then each corruption in each severity."""
        return [None, *((one, severity) for one in self.corruptions for severity in self.severities)]


def plan(settings: Robustness, modality: str, prepared: Prepared, seed: int) -> Plan:
    """Choose corruptions and images.

    Raises:
        InputError: a corruption that the recipe names cannot be applied to its images.
    """
    sides = len(prepared.preprocessing.size)
    sizes = prepared.summary["splits"]["test"]["source_size"]
    colour = sides == 2 and prepared.preprocessing.channels == 3 and len(sizes["max"]) == 3
    if settings.corruptions == "auto":
        found, left_out = corrupted.suited(modality, sides, colour, prepared.dense)
    else:
        found, left_out = [CORRUPTIONS[name] for name in settings.corruptions], {}
        for one in found:
            reason = corrupted.unfit(one, sides, colour, prepared.dense)
            if reason is not None:
                raise InputError(
                    f"'{one.name}' cannot be applied: {reason}",
                    where="evaluation.robustness.corruptions",
                    remedy="leave it out, or say 'auto'",
                )
    if prepared.dense:
        cases = prepared.cases("test")
        chosen = arrays.spread(len(cases), settings.images)
        strata = np.zeros(len(chosen), dtype=np.int64)
        units = prepared.groups("test")[[cases[i].first for i in chosen]]
        images = None
    else:
        labels = prepared.labels("test")
        chosen = balanced(labels, settings.images)
        strata, units = np.asarray(labels[chosen]), chosen
        images = CorruptedImages(prepared, "test", chosen, seed)
    return Plan(tuple(found), settings.severities, chosen, strata, units, left_out, seed, images)


def balanced(labels: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Up to ``wanted`` indices, as many of each class as there are or as come to it, evenly over the split."""
    left, taken = wanted, []
    counts = np.bincount(labels)
    for place, label in enumerate(np.argsort(counts, kind="stable")):
        members = np.flatnonzero(labels == label)
        share = left // (len(counts) - place)
        if members.size and share:
            part = members[arrays.spread(members.size, share)]
            taken.append(part)
            left -= part.size
    return np.sort(np.concatenate(taken))


def answers(
    prepared: Prepared, planned: Plan, run: Run, at_once: int, update: Callable[[float, str], None]
) -> NDArray[np.float32]:
    """How right each answer is, ``float32[conditions, n]``: 1 or 0, in segmentation the mean Dice of the case.

    Args:
        prepared: the data.
        planned: from ``plan``.
        run: logits of normalized inputs.
        at_once: inputs that ``run`` takes at a time.
        update: told of progress.
    """
    judge = _cases if prepared.dense else _images
    found = []
    for index, condition in enumerate(planned.conditions):
        found.append(judge(prepared, planned, condition, run, at_once))
        name = CLEAN if condition is None else f"{condition[0].name}, severity {condition[1]}"
        update((index + 1) / len(planned.conditions), name)
    return np.stack(found).astype(np.float32)


def _images(
    prepared: Prepared, planned: Plan, condition: tuple[Corruption, int] | None, run: Run, at_once: int
) -> NDArray[np.float32]:
    right = np.zeros(len(planned.chosen), dtype=np.float32)
    if condition is None:
        pixels = prepared.pixels("test", planned.chosen)
    else:
        assert planned.images is not None  # only a segmentation has none
        pixels = planned.images.at(*condition)
    for start in range(0, len(planned.chosen), at_once):
        logits = run(preprocess.normalize(pixels[start : start + at_once], prepared.preprocessing))
        finite = np.array([bool(np.isfinite(row).all()) for row in logits])
        called = np.where(finite[:, None], logits, 0.0).argmax(axis=1)
        right[start : start + at_once] = finite & (called == planned.strata[start : start + at_once])
    return right


def _cases(
    prepared: Prepared, planned: Plan, condition: tuple[Corruption, int] | None, run: Run, at_once: int
) -> NDArray[np.float32]:
    cases, masks = prepared.cases("test"), prepared.masks("test")
    assert masks is not None  # a segmentation's data has them
    counts = []
    for index in planned.chosen:
        case = cases[index]
        if condition is None:
            inputs = prepared.inputs("test", np.arange(case.first, case.first + case.count))
        else:
            inputs = corrupted.case_inputs(prepared, "test", case, *condition, planned.seed)
        parts = [run(inputs[start : start + at_once]) for start in range(0, len(inputs), at_once)]
        logits = assemble(case, np.concatenate(parts))
        truth = assemble_mask(case, masks[case.first : case.first + case.count])
        # What is not finite is called background: no structure is found there.
        called = np.where(np.isfinite(logits).all(axis=0), np.nan_to_num(logits).argmax(axis=0), 0)
        counted = np.flatnonzero(truth != IGNORE)
        counts.append(overlap.confusion(truth.ravel()[counted], called.ravel()[counted], logits.shape[0]))
    confusion = np.stack(counts)
    known = np.flatnonzero(confusion.sum(axis=(0, 2))[1:]) + 1
    if not known.size:
        raise InputError(f"none of {len(counts)} test cases has a pixel of a foreground class")
    dice: NDArray[np.float32] = overlap.dice(confusion)[:, known].mean(axis=1).astype(np.float32)
    return dice
