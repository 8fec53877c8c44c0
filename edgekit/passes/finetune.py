"""Supervised training on the recipe's training split; the epoch that is best on validation is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from edgekit.passes.base import Context, Outcome, PassConfig
from edgekit.training.settings import Training

if TYPE_CHECKING:
    from edgekit.model import Model


class Finetune(Training, PassConfig):
    """Trains all layers, or the classifier only, with class-weighted cross-entropy."""

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "training in floating point would discard the quantization; quantize last",
        "reparameterize": "the merged layers have lost the branches and the BatchNorm that make them trainable",
        "fold_batchnorm": "training without BatchNorm is unstable; fold after training",
    }
    trains: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = ("passes/finetune.py", "training", "model.py", "zoo")

    kind: Literal["finetune"] = "finetune"

    def apply(self, model: Model, context: Context) -> Outcome:
        """Train a copy of ``model``. Run again with the same threads it gives the same weights.

        Raises:
            PassError: the loss is not finite, a class has no training image, the network has no classifier to
                train alone, or images that are not square would be turned.
        """
        from edgekit.training.loop import fit

        trained = model.copy()
        changes = fit(trained, self, context, where=self.kind)
        return Outcome(trained, changes)
