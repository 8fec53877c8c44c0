"""Supervised training on the recipe's training split; the epoch that is best on validation is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from edgekit.passes.base import Context, Outcome, PassConfig
from edgekit.training.cross_validation import CrossValidation, cross_validate
from edgekit.training.settings import Training

if TYPE_CHECKING:
    from edgekit.model import Model


class Finetune(Training, PassConfig):
    """Trains all layers, or the classifier only, with class-weighted cross-entropy."""

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "training in floating point would discard the quantization; quantize last",
        "qat": "training in floating point would discard what it learned about rounding; finetune before",
        "reparameterize": "the merged layers have lost the branches and the BatchNorm that make them trainable",
        "fold_batchnorm": "training without BatchNorm is unstable; fold after training",
    }
    trains: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/finetune.py",
        "training",
        "evaluate/bootstrap.py",
        "evaluate/calibration.py",
        "evaluate/figures.py",
        "model.py",
        "zoo",
    )

    kind: Literal["finetune"] = "finetune"
    cross_validation: CrossValidation | None = Field(
        default=None, description="also trains and scores a model a fold; the one that goes on is trained as always"
    )

    def apply(self, model: Model, context: Context) -> Outcome:
        """Train a copy of ``model``. Run again with the same threads it gives the same weights.

        Raises:
            PassError: the loss is not finite, a class has no training image, the network has no classifier to
                train alone, images that are not square would be turned, this machine lacks the device, or the
                images cannot be divided into the folds.
            MissingError: ``cross_validation`` without scikit-learn.
        """
        from edgekit.training.loop import fit

        plan = self.cross_validation
        folds = 0.0 if plan is None else plan.runs / (plan.runs + 1)  # of the whole work
        changes = {}
        if plan is not None:
            first = replace(context, progress=lambda done, text: context.progress(done * folds, text))
            where = f"{self.kind}.cross_validation"
            changes["cross_validation"] = cross_validate(model, plan, self, first, where=where)
        trained = model.copy()
        last = replace(context, progress=lambda done, text: context.progress(folds + done * (1 - folds), text))
        changes = {**fit(trained, self, last, where=self.kind), **changes}
        return Outcome(trained, changes)
