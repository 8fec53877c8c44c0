"""Trains a model, the student, with the recipe's teacher; the epoch that is best on validation is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from edgekit.errors import EdgekitError
from edgekit.passes.base import Context, Outcome, PassConfig, PassError
from edgekit.passes.finetune import Finetune
from edgekit.training.distillation import Distillation
from edgekit.training.settings import Training

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model


class Distill(Distillation, Training, PassConfig):
    """Learns from the labels and from a teacher; the equation is in ``training.distillation``."""

    not_after: ClassVar[dict[str, str]] = Finetune.not_after
    trains: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/distill.py",
        "training",
        "evaluate/bootstrap.py",
        "evaluate/calibration.py",
        "evaluate/figures.py",
        "model.py",
        "zoo",
    )

    kind: Literal["distill"] = "distill"

    @model_validator(mode="after")
    def _reaches(self) -> Self:
        if self.freeze == "backbone":
            self.check_reach()
        return self

    def apply(self, model: Model, context: Context) -> Outcome:
        """Train a copy of ``model``. Run again with the same threads it gives the same weights.

        Raises:
            PassError: there is no teacher, it has other classes or another input, it is worse than the student
                (balanced accuracy, or mean Dice, on validation), layers do not exist or do not match, or as for
                ``finetune``.
        """
        from edgekit.training import distillation
        from edgekit.training.loop import fit

        teacher = _teacher(model, context)
        context.progress(0.0, "evaluating teacher and student")
        figures = {"teacher": _figures(teacher, context.data, "teacher")}
        figures["student_before"] = _figures(model, context.data, "student")
        judged, words = "balanced_accuracy", "balanced accuracy"
        if model.task == "segmentation":
            judged, words = "mean_dice", "mean Dice"
        told, given = (one[judged] for one in figures.values())
        if told < given:
            raise PassError(
                f"the teacher '{teacher.architecture}' is worse than the student: {words} on validation "
                f"{told:.4f} against {given:.4f}",
                where=self.kind,
                remedy="train the teacher longer, take a better one, or use 'finetune'",
            )
        objective, extra = distillation.objective(self, teacher, model, seed=self.seed)
        trained = model.copy()
        changes = fit(trained, self, context, where=self.kind, objective=objective, extra=extra)
        return Outcome(trained, {**figures, "distillation": objective.changes(), **changes})


def _teacher(student: Model, context: Context) -> Model:
    """The context's teacher, once its classes and input are those of the student."""
    teacher = context.teacher
    if teacher is None:
        raise PassError(
            "there is no teacher", where="distill", remedy="give the recipe a 'teacher' with its 'model'"
        )
    if teacher.num_classes != student.num_classes:
        raise PassError(
            f"the teacher '{teacher.architecture}' has {teacher.num_classes} classes, the student "
            f"{student.num_classes}",
            where="distill",
            remedy="train the teacher on this recipe's classes",
        )
    if teacher.task != student.task:
        raise PassError(
            f"the teacher '{teacher.architecture}' is for {teacher.task}, the student for {student.task}",
            where="distill",
            remedy="take a teacher of the same task",
        )
    if teacher.input_size != student.input_size:
        told, given = ("x".join(map(str, model.input_size)) for model in (teacher, student))
        raise PassError(
            f"the teacher '{teacher.architecture}' takes an input of {told}, the student of {given}",
            where="distill",
            remedy="both must see the same images: train the teacher at this recipe's 'input'",
        )
    return teacher


def _figures(model: Model, data: Prepared, of: str) -> dict[str, Any]:
    """How good a model is on validation, see ``training.scoring``."""
    from edgekit.training.scoring import of_split, scores

    count = data.count("val")
    try:
        found = scores(model, of_split(data, "val"), count, data.classes)
    except EdgekitError as error:
        raise PassError(f"the {of}: {error.problem}", where="distill", remedy=error.remedy) from None
    names = ("accuracy", "balanced_accuracy", "mean_dice", "ece", "nll")
    return {
        "architecture": model.architecture,
        "parameters": model.parameter_count,
        "split": "val",
        "images": count,
        **{name: found[name] for name in names if name in found},
    }
