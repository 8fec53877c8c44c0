"""k-fold cross-validation: how good a training is, and how much that depends on the images it happened to get.

Each fold's model starts from the weights that the pass was given, trains with the pass's own settings on the other
folds, and is scored once on the images held out, which neither its training nor the choice of its epoch saw.

The interval of a figure is mean +- t s / sqrt(k): over k folds, s their standard deviation (k - 1), t the 97.5 %
point of Student's t with k - 1 degrees of freedom. With several seeds a fold's value is the mean over its seeds:
runs on one fold share their images, so counting each of them would make the interval too narrow. Folds share
training images as well, so even this interval is approximate, and rather too narrow (Bengio and Grandvalet 2004: no
estimate of this variance is unbiased). It is not clipped to 0 and 1.

For segmentation the images are windows, those of a case in one fold, and Dice is over all held-out pixels together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from edgekit.data import preprocess
from edgekit.evaluate.repeats import repeated
from edgekit.passes.base import Context
from edgekit.schema import Frozen
from edgekit.training.folds import Fold, Pool, divide

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.training.settings import Training

_METHOD = (
    "each fold scored on its held-out images; mean, standard deviation (n - 1) and 95 % interval of Student's t "
    "over the folds, seeds averaged within a fold; not clipped"
)


class CrossValidation(Frozen):
    """Folds of the training and validation images together; the test split stays unseen."""

    folds: int = Field(default=5, ge=2, le=100)
    seeds: tuple[int, ...] = Field(
        default=(0,), min_length=1, description="of the trainings; each fold is trained once with each"
    )
    split_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the division into folds")

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("name each seed once: the same seed gives the same model")
        if min(value) < 0 or max(value) >= 2**31:
            raise ValueError("a seed is a whole number from 0 to 2147483647")
        return value

    @property
    def runs(self) -> int:
        """Number of trainings."""
        return self.folds * len(self.seeds)


def cross_validate(
    model: Model, plan: CrossValidation, settings: Training, context: Context, *, where: str
) -> dict[str, Any]:
    """Train and score ``plan.runs`` copies of ``model``.

    Args:
        model: with the weights from which each copy starts; stays as it is.
        plan: folds and seeds.
        settings: of each training; its ``seed`` is replaced by each of ``plan.seeds``.
        context: data, progress, threads.
        where: for the messages of errors.

    Returns:
        Plain data: ``folds``, ``seeds``, ``images``, ``groups``, ``method``, ``runs`` (of each fold and seed the
        images, the best epoch and the figures) and ``figures`` (of each figure ``mean``, ``std``, ``interval`` and
        ``n``).

    Raises:
        PassError: the images cannot be divided so, or a training failed; see ``folds.divide`` and ``loop.fit``.
        MissingError: scikit-learn is not installed.
    """
    from edgekit.training.loop import fit

    pool = Pool(context.data)
    runs: list[dict[str, Any]] = []
    for number, fold in enumerate(divide(pool, plan.folds, plan.split_seed, where), start=1):
        for seed in plan.seeds:
            trained = model.copy()
            told = _part(context.progress, len(runs), plan.runs, f"fold {number}/{plan.folds} seed {seed}: ")
            ran = fit(
                trained,
                settings.model_copy(update={"seed": seed}),
                replace(context, progress=told),
                where=f"{where} (fold {number})",
                images=fold,
            )
            runs.append(
                {
                    "fold": number,
                    "seed": seed,
                    "images": {"train": len(fold.train), "val": len(fold.val), "held_out": len(fold.held_out)},
                    "best_epoch": ran["best_epoch"],
                    "figures": _score(trained, fold),
                }
            )
    of_folds = [[run["figures"] for run in runs if run["fold"] == number + 1] for number in range(plan.folds)]
    return {
        "folds": plan.folds,
        "seeds": list(plan.seeds),
        "images": len(pool.labels),
        "groups": len(np.unique(pool.groups)),
        "method": _METHOD,
        "runs": runs,
        "figures": {
            name: over_folds([float(np.mean([one[name] for one in seeds])) for seeds in of_folds])
            for name in runs[0]["figures"]
        },
    }


def over_folds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and 95 % interval by Student's t of one value a fold, two at least."""
    found = repeated(values)
    return {"mean": found.mean, "std": found.std, "interval": [found.low, found.high], "n": found.n}


def _score(model: Model, fold: Fold) -> dict[str, float]:
    """Accuracy, overlap or discrimination, and calibration on the images held out."""
    from edgekit.training.scoring import scores

    def read(part: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        chosen = fold.held_out[part]
        return preprocess.normalize(fold.pool.pixels(chosen), fold.preprocessing), fold.pool.targets(chosen)

    found = scores(model, read, len(fold.held_out), fold.classes)
    own = ["mean_dice"] if model.task == "segmentation" else ["auc"]
    per_class = ["dice", "sensitivity"] if model.task == "segmentation" else ["sensitivity"]
    names = ["accuracy", "balanced_accuracy", *own, "nll", "ece"]
    names += [f"{metric}/{one}" for metric in per_class for one in fold.classes]
    return {name: found[name] for name in names}


def _part(progress: Callable[[float, str], None], done: int, of: int, prefix: str) -> Callable[[float, str], None]:
    """Progress of the run after ``done`` of ``of``."""
    return lambda fraction, text: progress((done + fraction) / of, prefix + text)
