"""Quantization-aware training (QAT): the network learns with the rounding that its INT8 artifacts will do.

It starts from the ranges of post-training quantization (PTQ) and trains weights and ranges through fake
quantization (Jacob et al. 2018; LSQ, Esser et al. 2020; LSQ+, Bhalgat et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgekit.passes.base import Context, Outcome, PassConfig, PassError
from edgekit.quantization.settings import Calibration
from edgekit.training.distillation import Distillation
from edgekit.training.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model

#: What a 'quantize' pass before this one has settled; the seed is of the training as well.
_CALIBRATES = tuple(name for name in Calibration.model_fields if name != "seed")


class Qat(Training, Calibration, PassConfig):
    """Trains the fake-quantized network; what is kept is never worse on validation than PTQ, its start.

    BatchNorm is folded first; what cannot be folded keeps its running statistics. Dropout is off.
    """

    not_after: ClassVar[dict[str, str]] = {"qat": "the model is trained with quantization already"}
    quantizes: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/qat.py",
        "passes/fold_batchnorm.py",
        "passes/batchnorm_pairs.py",
        "quantization",
        "evaluate",
        "measure/trial.py",
        "training",
        "model.py",
        "zoo",
    )

    kind: Literal["qat"] = "qat"
    epochs: int = Field(default=5, ge=1, le=10_000)
    learning_rate: float = Field(default=1e-4, gt=0, le=10, description="highest, after the warm-up")
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="of the calibration images, the order of images and augmentation"
    )
    learn_ranges: bool = Field(
        default=True, description="also learn the ranges of activations; false: they stay as calibrated"
    )
    distillation: Distillation | None = Field(
        default=None, description="also learn from the logits of the model as it was before quantization"
    )

    @model_validator(mode="after")
    def _acts(self) -> Self:
        if self.freeze != "none":
            raise ValueError("'freeze' does not go with 'qat': every layer is rounded and learns; leave it out")
        for name in ("features", "attention", "ranking"):
            if self.distillation is not None and getattr(self.distillation, name) is not None:
                raise ValueError(
                    f"'distillation.{name}' does not go with 'qat', which learns from logits; leave it out"
                )
        return self

    def conflict(self, before: Sequence[str]) -> str | None:
        """See ``PassConfig``: what a 'quantize' pass has settled cannot be asked for again."""
        again = [name for name in _CALIBRATES if name in self.model_fields_set]
        if "quantize" not in before or not again:
            return None
        return (
            f"the 'quantize' pass before it calibrates the model, so '{again[0]}' can have no effect here; "
            "set it in 'quantize', or leave that pass out"
        )

    def apply(self, model: Model, context: Context) -> Outcome:
        """Train a copy of ``model``.

        Raises:
            PassError: see ``fit`` and ``post_training.quantize``.
            InputError: the network cannot be traced for batches.
        """
        from edgekit.quantization import post_training, trained
        from edgekit.quantization.placement import PORTABLE
        from edgekit.quantization.training_program import FakeQuantized
        from edgekit.training import distillation
        from edgekit.training.layout import in_channels_last
        from edgekit.training.loop import fit, supervised_only

        float_model, start, changes = self._start(model, context)
        count = context.data.count("train")
        batch = -(-count // -(-count // self.batch_size))  # the largest that the loop makes
        network = FakeQuantized(start, PORTABLE, batch, self.learn_ranges)
        student = replace(start, network=network)
        figures = self._validate(student, context)
        changes["start"] = figures
        objective, extra = supervised_only, None
        if self.distillation is not None:
            objective, extra = distillation.objective(self.distillation, float_model, student)
        changes |= fit(
            student, self, context, where=self.kind, objective=objective, extra=extra, layout=in_channels_last
        )
        if self._better(changes["best"], figures):
            found = trained.finished(start, network, post_training.draw(self.images, self.seed, context))
            changes["kept"] = f"epoch {changes['best_epoch']}"
            changes["ranges_wider_by"] = trained.range_changes(start, found)
        else:
            found = start
            changes["kept"] = "PTQ, the start: no epoch was better on validation"
        changes["validation"] = _compared(float_model, found, context)
        return Outcome(replace(found, quantization={**(found.quantization or {}), "as_trained": True}), changes)

    def _better(self, epoch: dict[str, float], start: dict[str, float]) -> bool:
        """Whether an epoch is to be kept instead of the start.

        At equal figures a lower loss alone does not do: two networks that each give one class for every image have
        the same balanced accuracy, and the start may name the more frequent one.
        """
        (figure, loss), (figure_before, loss_before) = self.score(epoch), self.score(start)
        if figure != figure_before:
            return figure > figure_before
        return loss > loss_before and epoch["validation_accuracy"] >= start["validation_accuracy"]

    def _start(self, model: Model, context: Context) -> tuple[Model, Model, dict[str, Any]]:
        """The float model, the quantized one to start from, and what was done to get it."""
        from edgekit.quantization import post_training

        if model.quantization is None:
            folded, batchnorm = _fold(model, context)
            start, changes = post_training.quantize(folded, self, context)
            return folded, start, {**changes, "method": "QAT", "batchnorm": batchnorm}
        frozen = dict.fromkeys(_batchnorms(model.network), "quantized as it is")
        changes = {"method": "QAT", "starts_from": "quantize", **post_training.described(model)}
        return replace(model, quantization=None), model, {**changes, "batchnorm": {"folded": [], "frozen": frozen}}

    def _validate(self, model: Model, context: Context) -> dict[str, float]:
        """The figures of an epoch, of a model that was not trained yet."""
        import torch

        from edgekit.training import validation
        from edgekit.training.contents import contents
        from edgekit.training.loss import SupervisedLoss
        from edgekit.training.sampling import class_weights

        data, settings = context.data, self.for_task(model.task, self.kind)
        weights = class_weights(settings, contents(data, "train"), data.classes, self.kind)
        loss_of = SupervisedLoss(settings, weights)
        return validation.figures(model.network, data, settings, loss_of, torch.device("cpu"), model.at_once)


def _fold(model: Model, context: Context) -> tuple[Model, dict[str, Any]]:
    """``model`` with all BatchNorm folded that can be; the names of those, and why others are left."""
    from edgekit.passes.fold_batchnorm import FoldBatchnorm

    names = _batchnorms(model.network)
    if not names:
        return model, {"folded": [], "frozen": {}}
    try:
        outcome = FoldBatchnorm().apply(model, context)
    except PassError as error:
        return model, {"folded": [], "frozen": dict.fromkeys(names, error.problem)}
    return outcome.model, {"folded": outcome.changes["layers"], "frozen": outcome.changes["left"]}


def _batchnorms(network: nn.Module) -> list[str]:
    from torch import nn

    return [name for name, one in network.named_modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]


def _compared(float_model: Model, quantized: Model, context: Context) -> dict[str, Any]:
    """On validation: the float model, the fake-quantized one, and how often they agree (on images, or pixels)."""
    from edgekit import model as models
    from edgekit.quantization.training_program import running
    from edgekit.training.batches import batches
    from edgekit.training.scoring import Scores

    data, count = context.data, context.data.count("val")
    both = {"float": float_model, "fake_quantized": running(quantized, min(count, quantized.at_once))}
    found = {of: Scores(model.task == "segmentation", data.classes) for of, model in both.items()}
    agree: list[float] = []
    for part in batches(count, float_model.at_once):
        inputs, targets = data.inputs("val", part), data.targets("val", part)
        logits = {of: models.logits(model, inputs) for of, model in both.items()}
        for of, one in logits.items():
            found[of].add(one, targets)
        before, after = (one.argmax(1) for one in logits.values())
        agree += [float((a == b).mean()) for a, b in zip(before, after, strict=True)]
    names = ("accuracy", "balanced_accuracy", "mean_dice")
    figures = {of: one.figures() for of, one in found.items()}
    return {
        **{of: {name: one[name] for name in names if name in one} for of, one in figures.items()},
        "argmax_agreement": sum(agree) / count,
    }
