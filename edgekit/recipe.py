"""Recipes: what a person asks edgekit to do, validated as a whole before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit import store, target, yaml_source
from edgekit.data import AnyData
from edgekit.data.base import Preprocessing
from edgekit.errors import InputError
from edgekit.passes import AnyPass, Finetune
from edgekit.schema import Frozen


class Task(Frozen):
    """What the model is for; goes into the checklist as written."""

    kind: Literal["classification"]
    description: str = Field(min_length=1, description="the clinical task in a sentence")
    modality: str = Field(min_length=1, description="such as ultrasound, dermatoscopy, CT")
    classes: tuple[str, ...] = Field(min_length=2, description="names in the order of the labels")

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


class Evaluation(Frozen):
    """How accuracy and calibration are computed, on the whole test split."""

    bootstrap: int = Field(default=1000, ge=100, le=100_000, description="resamples for the 95 % intervals")
    seed: int = Field(default=0, ge=0)
    parity_images: int = Field(default=64, ge=8, description="real images for the comparison with the source")


class Benchmark(Frozen):
    """The latency protocol: batch 1, fresh processes, artifacts in turn."""

    warmup: int = Field(default=50, ge=1)
    runs: int = Field(default=200, ge=10)
    processes: int = Field(default=3, ge=1)
    source: bool = Field(default=True, description="also measure the model in PyTorch, as trained and fused")


class Gates(Frozen):
    """What an artifact must keep, or it is set aside as rejected."""

    float_max_relative_difference: float = Field(default=1e-3, gt=0, description="of logits, to the largest logit")
    float_min_agreement: float = Field(default=0.999, ge=0, le=1, description="share of equal argmax")
    int8_min_agreement: float = Field(default=0.95, ge=0, le=1, description="with the float model, after PTQ")
    qat_min_agreement: float = Field(
        default=0.995, ge=0, le=1, description="with the fake-quantized model, after QAT"
    )
    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1, description="of any artifact below the source")


class _Common(Frozen):
    """What a recipe and a study share."""

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=80)
    task: Task
    data: AnyData
    input: Preprocessing
    targets: tuple[str, ...] = Field(min_length=1)
    evaluation: Evaluation = Evaluation()
    benchmark: Benchmark = Benchmark()
    gates: Gates = Gates()

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
        if "distill" in kinds and self.teacher is None:
            raise ValueError(
                f"passes[{kinds.index('distill')}]: 'distill' needs a 'teacher', with its 'model' (and 'passes' to "
                "train it)"
            )
        if self.teacher is not None and "distill" not in kinds:
            raise ValueError("the recipe has a 'teacher' and no 'distill' pass that learns from it")
        return self


class Recipe(_Common, Candidate):
    """Everything that determines a run."""


class Study(_Common):
    """Several models under the same data, targets and protocol: one run each, in a folder of its own."""

    models: tuple[Candidate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Study:
        names = [one.model.architecture for one in self.models]
        if len(set(names)) != len(names):
            raise ValueError("an architecture is named twice in 'models'; write a second recipe for it")
        return self

    def recipes(self) -> list[Recipe]:
        """One recipe a model, named after the study and the architecture."""
        shared = {name: getattr(self, name) for name in _Common.model_fields if name != "name"}
        return [
            Recipe(
                name=f"{self.name}-{''.join(c if c.isalnum() else '_' for c in one.model.architecture.lower())}",
                model=one.model,
                passes=one.passes,
                **shared,
            )
            for one in self.models
        ]


def load(path: Path) -> tuple[list[Recipe], dict[str, target.Target]]:
    """Read and check a recipe, or a study of several, and the targets that it names.

    Raises:
        InputError: every error of the recipe and of its targets together, each with its line.
    """
    source = yaml_source.read(path)
    problems: list[str] = []
    targets: dict[str, target.Target] = {}
    named = source.data.get("targets")
    for index, name in enumerate(named if isinstance(named, list) else []):
        if not isinstance(name, str):
            continue  # refused below
        try:
            targets[name] = target.load(name)
        except InputError as error:
            at = source.where(("targets", index))
            # A target file's own errors bring their file and line.
            own = ".yaml:" in str(error)
            problems.append(str(error) if own else f"{at}: {error}")
    recipes: list[Recipe] = []
    try:
        if "models" in source.data:
            recipes = yaml_source.validate(source, Study).recipes()
        else:
            recipes = [yaml_source.validate(source, Recipe)]
    except InputError as error:
        problems.insert(0, str(error))
    for index, recipe in enumerate(recipes):
        weights = recipe.model.weights
        if weights is not None and not (store.present(weights.path) and weights.path.is_file()):
            prefix = ("models", index) if "models" in source.data else ()
            problems.append(
                f"{source.where((*prefix, 'model', 'weights', 'path'))}: no such file: {weights.path}; "
                "the recipe's header says where to get it (EDGEKIT_WEIGHTS names the folder of the weights)"
            )
    for file in recipes[0].data.files() if recipes else ():
        if not store.present(file):
            problems.append(
                f"{source.where(('data', 'path'))}: no such file or folder: {file}; "
                "the recipe's header says where to get it (EDGEKIT_DATA names the folder of the data)"
            )
    if problems:
        raise InputError("\n".join(problems))
    return recipes, targets


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data for the record."""
    found: dict[str, Any] = yaml_source.contract(recipe.model_dump(mode="json"))
    return found


def sha256(recipe: Recipe) -> str:
    """Hash of the recipe's content; comments, layout and the folders of the data do not count."""
    return store.digest(plain(recipe))
