"""A recipe: the task, the data, a model and its passes, the targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit import store, target, yaml_source
from edgekit.data import AnyData
from edgekit.data.base import Preprocessing
from edgekit.passes import AnyPass, Finetune
from edgekit.recipe.settings import Benchmark, Evaluation, Gates
from edgekit.schema import Frozen

NAME = r"^[a-z0-9][a-z0-9_-]*$"


class Task(Frozen):
    """What the model is for; goes into the checklist as written."""

    kind: Literal["classification", "segmentation"]
    description: str = Field(min_length=1, description="the clinical task in a sentence")
    modality: str = Field(min_length=1, description="such as ultrasound, dermatoscopy, CT")
    classes: tuple[str, ...] = Field(
        min_length=2, description="names in the order of the labels; for segmentation the background comes first"
    )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value) or not all(value):
            raise ValueError("class names must be distinct and not empty")
        return value


class Weights(Frozen):
    """A checkpoint: safetensors, or a .pth that holds tensors only."""

    path: Path
    match: Literal["name", "order"] = Field(
        default="name", description="order: tensors are mapped one to one, in order, where key names differ"
    )
    replace_head: bool = Field(
        default=False, description="leave out the classifier of the checkpoint when its number of classes differs"
    )


class ModelConfig(Frozen):
    """The architecture and where its weights come from."""

    architecture: str = Field(
        min_length=1,
        description="a timm model, an installed 'edgekit.models' entry point, or 'module' with --module",
    )
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    weights: Weights | None = None
    untrained: bool = Field(
        default=False,
        description="random weights on purpose: latency and size are measured, accuracy is not, and reports say so",
    )
    seed: int = Field(default=0, ge=0, description="of the initial weights that no checkpoint gives")

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        if self.untrained and self.weights is not None:
            raise ValueError("'untrained' and 'weights' contradict each other; keep one")
        return self


#: Gates that masks do not know, and what to use for them.
_CLASSIFICATION_GATES = {
    "max_balanced_accuracy_drop": "'max_dice_drop', the mean over the classes",
    "max_sensitivity_drop": "'max_dice_drop'",
}


class Common(Frozen):
    """What a recipe and a study share."""

    schema_version: Literal[1]
    name: str = Field(pattern=NAME, max_length=80)
    task: Task
    data: AnyData
    input: Preprocessing
    targets: tuple[str, ...] = Field(min_length=1)
    precision: target.Precision | None = Field(
        default=None, description="export this one only; when absent, all that a target allows, the fastest wins"
    )
    own_quantizers: bool = Field(
        default=True,
        description="try the runtimes' own INT8 tools as well, where a 'quantize' pass calibrates and the network "
        "has no selective scan",
    )
    dynamic: tuple[target.Axis, ...] = Field(
        default=(),
        description="axes that the files leave open: batch, size, in ONNX Runtime and OpenVINO. Files of other "
        "runtimes take one input at a time, of 'input.size', and a warning says so; latency is that of such a one",
    )
    native_operators: bool = Field(
        default=False,
        description="make files of OpenVINO and ONNX Runtime with edgekit's native selective scan too, beside "
        "those of standard operators; it is built here by a C++ compiler, and they run only where its library is "
        "loaded",
    )
    evaluation: Evaluation = Evaluation()
    benchmark: Benchmark = Benchmark()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _of_its_task(self) -> Self:
        if self.task.kind == "segmentation":
            for name in ("temperature_scaling", "thumbnails"):
                if getattr(self.evaluation, name):
                    raise ValueError(f"evaluation: '{name}' is for classification; remove it")
            for name, instead in _CLASSIFICATION_GATES.items():
                if getattr(self.gates, name) is not None:
                    raise ValueError(f"gates: '{name}' is for classification; use {instead}")
            for name in ("out_of_distribution", "saliency"):
                if getattr(self.evaluation, name) is not None:
                    raise ValueError(f"'evaluation.{name}' is for classification; remove it")
        if self.gates.max_robustness_drop is not None and self.evaluation.robustness is None:
            raise ValueError("'gates.max_robustness_drop' needs 'evaluation.robustness': {} asks for its defaults")
        return self

    @field_validator("targets")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a target is named twice; name each once")
        return value


class Teacher(Frozen):
    """The model that a 'distill' pass learns from: a trained checkpoint, or a network that is trained first."""

    model: ModelConfig
    passes: tuple[Finetune, ...] = Field(default=(), description="trains it; only 'finetune'")

    @model_validator(mode="after")
    def _trained(self) -> Self:
        if self.model.untrained:
            raise ValueError("a teacher must be trained; leave out 'untrained'")
        if self.model.weights is None and not self.passes:
            raise ValueError("the teacher has no weights: give 'model.weights', or 'passes' with a 'finetune'")
        if self.model.weights is not None and self.model.weights.replace_head and not self.passes:
            raise ValueError("'replace_head' leaves a classifier that is not trained: add a 'finetune' pass")
        return self


class Candidate(Frozen):
    """One model and its passes."""

    model: ModelConfig
    teacher: Teacher | None = None
    passes: tuple[AnyPass, ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        kinds: list[str] = [one.kind for one in self.passes]
        trained = self.model.weights is not None or self.model.untrained
        if not trained and (not kinds or not self.passes[0].trains):
            raise ValueError(
                "the model has no weights: give 'model.weights', put a 'finetune' or 'distill' pass first, "
                "or say 'model.untrained: true' to measure latency only"
            )
        trains = any(one.trains for one in self.passes)
        if self.model.weights is not None and self.model.weights.replace_head and not trains:
            raise ValueError("'replace_head' leaves a classifier that is not trained: add a 'finetune' pass")
        for index, one in enumerate(self.passes):
            for before in kinds[:index]:
                if before in one.not_after:
                    raise ValueError(
                        f"passes[{index}]: '{one.kind}' cannot come after '{before}': {one.not_after[before]}"
                    )
            conflict = one.conflict(kinds[:index])
            if conflict is not None:
                raise ValueError(f"passes[{index}]: {conflict}")
        if "distill" in kinds and self.teacher is None:
            raise ValueError(
                f"passes[{kinds.index('distill')}]: 'distill' needs a 'teacher', with its 'model' (and 'passes' to "
                "train it)"
            )
        if self.teacher is not None and "distill" not in kinds:
            raise ValueError("the recipe has a 'teacher' and no 'distill' pass that learns from it")
        return self


class Recipe(Common, Candidate):
    """Everything that determines a run."""


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data for the record."""
    found: dict[str, Any] = yaml_source.contract(recipe.model_dump(mode="json"))
    return found


def owner(recipe: Mapping[str, Any]) -> str:
    """Whose folder the stages of a recipe lie in, from its plain data: its own, or that of its study."""
    study = recipe.get("study")
    return f"{study['name']} (study)" if study else str(recipe["name"])


def sha256(recipe: Recipe) -> str:
    """Hash of the recipe's content; comments, layout and the folders of the data do not count."""
    return store.digest(plain(recipe))
