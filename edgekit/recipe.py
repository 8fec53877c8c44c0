"""Recipes: what a person asks edgekit to do, validated as a whole before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit import store, target, yaml_source
from edgekit.data import AnyData
from edgekit.data.base import Preprocessing
from edgekit.errors import InputError
from edgekit.evaluate.analyses import OutOfDistribution, Robustness, Saliency
from edgekit.passes import AnyPass, Finetune
from edgekit.reseed import reseed
from edgekit.schema import Frozen

NAME = r"^[a-z0-9][a-z0-9_-]*$"
#: What a study keeps in its folder beside the folders of its candidates.
RESERVED = ("stages", "pictures")


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


class Evaluation(Frozen):
    """How accuracy and calibration are computed, on the whole test split."""

    bootstrap: int = Field(default=1000, ge=100, le=100_000, description="resamples for the 95 % intervals")
    seed: int = Field(default=0, ge=0)
    parity_images: int = Field(default=64, ge=8, description="real images for the comparison with the source")
    robustness: Robustness | None = Field(default=None, description="errors on corrupted images; off when absent")
    temperature_scaling: bool = Field(
        default=False,
        description="fit one temperature for each artifact on the validation split, write it into its model.json "
        "and report the test split before and after; classification only",
    )
    out_of_distribution: OutOfDistribution | None = Field(
        default=None, description="confidence on other images; off when absent, classification only"
    )
    saliency: Saliency | None = Field(
        default=None, description="agreement of saliency maps; off when absent, classification only"
    )
    thumbnails: int = Field(
        default=0,
        ge=0,
        le=24,
        description="so many of each artifact's worst changed predictions are shown as small pictures, which then "
        "stand in the record; 0, for none, where images of patients must not; classification only",
    )


class Throughput(Frozen):
    """Images a second of several streams, each of batch 1, beside one another: no latency is taken from it."""

    streams: int = Field(default=0, ge=0, le=256, description="0: one a core")
    window_s: float = Field(default=1.0, ge=0.1, le=60, description="length of each of three windows")


class Benchmark(Frozen):
    """The latency protocol: batch 1, fresh processes, artifacts in turn."""

    warmup: int = Field(default=50, ge=1)
    runs: int = Field(default=200, ge=10)
    processes: int = Field(default=3, ge=1)
    source: bool = Field(default=True, description="also measure the model in PyTorch, as trained and fused")
    throughput: Throughput | None = Field(
        default=None, description="also measure throughput, after the latency; {} for the defaults"
    )
    mlperf_single_stream: bool = Field(
        default=False, description="also report the 90th percentile by LoadGen's early-stopping estimate"
    )


class Gates(Frozen):
    """What an artifact must keep, or it is set aside as rejected."""

    float_max_relative_difference: float = Field(default=1e-3, gt=0, description="of logits, to the largest logit")
    float_min_agreement: float = Field(default=0.999, ge=0, le=1, description="share of equal argmax")
    int8_min_agreement: float = Field(default=0.95, ge=0, le=1, description="with the float model, after PTQ")
    qat_min_agreement: float = Field(
        default=0.995, ge=0, le=1, description="with the fake-quantized model, after QAT"
    )
    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1, description="of any artifact below the source")
    float_min_mask_dice: float = Field(default=0.99, ge=0, le=1, description="overlap of masks with the source's")
    int8_min_mask_dice: float = Field(default=0.9, ge=0, le=1, description="the same, after PTQ")
    qat_min_mask_dice: float = Field(default=0.95, ge=0, le=1, description="the same, after QAT")
    max_dice_drop: float = Field(default=0.01, ge=0, le=1, description="of the mean Dice, below the source's")
    max_balanced_accuracy_drop: float | None = Field(
        default=None, ge=0, le=1, description="below the source; classification only"
    )
    max_sensitivity_drop: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of every class, below the source: a non-inferiority margin, held when the 95 % interval of "
        "the drop ends within it, whatever 'decide_by' says; classification only",
    )
    max_ece_rise: float | None = Field(default=None, ge=0, le=1, description="above the source's")
    max_nll_rise: float | None = Field(default=None, ge=0, description="above the source's, in nat")
    max_robustness_drop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="of the error from clean to corrupted images above the source's rise, for every corruption "
        "(upper end of its 95 % interval), whatever 'decide_by' says",
    )
    max_p90_ms: float | None = Field(default=None, gt=0, description="latency of one inference, measured here")
    max_size_mb: float | None = Field(default=None, gt=0, description="of the artifact's files; 1 MB is 10^6 bytes")
    max_energy_j: float | None = Field(default=None, gt=0, description="joules per inference, measured here")
    decide_by: Literal["estimate", "interval"] = Field(
        default="estimate",
        description="drops, rises and p90: estimate compares the figure itself with the limit; interval asks that "
        "the far end of its 95 % interval keeps it (non-inferiority), and is undecided where only the figure does",
    )
    undecided: Literal["fail", "pass"] = Field(
        default="fail", description="what a gate counts as that the data cannot decide"
    )


#: Gates that masks do not know, and what to use for them.
_CLASSIFICATION_GATES = {
    "max_balanced_accuracy_drop": "'max_dice_drop', the mean over the classes",
    "max_sensitivity_drop": "'max_dice_drop'",
}


class _Common(Frozen):
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
        default=True, description="try the runtimes' own INT8 tools as well, where a 'quantize' pass calibrates"
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


class Recipe(_Common, Candidate):
    """Everything that determines a run."""


class StudyCandidate(Candidate):
    """One model and its passes, in a study."""

    name: str | None = Field(
        default=None,
        pattern=NAME,
        max_length=60,
        description="its architecture when absent; needed where an architecture comes twice",
    )
    baseline: str | None = Field(
        default=None, description="the candidate that it is compared with; the study's baseline when absent"
    )

    @property
    def label(self) -> str:
        """Its name in folders and reports."""
        architecture = self.model.architecture.lower()[:60]
        return self.name or "".join(c if c.isascii() and c.isalnum() else "_" for c in architecture)


class Membership(Frozen):
    """Which run of a study a recipe is; it goes into the record, and the records alone make the summary."""

    name: str = Field(description="of the study")
    candidate: str
    seed: int | None = Field(description="none where the study names no seeds")
    baseline: str = Field(description="the candidate that it is compared with")
    candidates: tuple[str, ...] = Field(description="all of the study, in order")
    seeds: tuple[int, ...]
    timed_seeds: Literal["first", "all"]
    sha256: str = Field(description="of the whole study; runs of different versions are not put into one table")

    @property
    def title(self) -> str:
        """``prune, seed 0``."""
        return self.candidate + ("" if self.seed is None else f", seed {self.seed}")

    @property
    def timed(self) -> bool:
        """Whether the latency of this run's artifacts is measured."""
        return self.timed_seeds == "all" or self.seed is None or self.seed == self.seeds[0]


class StudyRun(Recipe):
    """One candidate of a study with one seed. Made by ``Study.recipes``, not written by hand."""

    name: str = Field(pattern=NAME, max_length=200)
    study: Membership


class Study(_Common):
    """Several candidates under the same data, targets and protocol, each run once for each seed."""

    models: tuple[StudyCandidate, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...] = Field(
        default=(),
        description="each candidate is run once for each; replaces every 'seed' of its model, teacher and passes",
    )
    baseline: str | None = Field(
        default=None, description="the candidate that the others are compared with; the first when absent"
    )
    timed_seeds: Literal["first", "all"] = Field(
        default="first", description="which runs' latency is measured; that of one network hardly depends on it"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        labels = [one.label for one in self.models]
        for index, one in enumerate(self.models):
            if one.label in labels[:index]:
                what = f"the name '{one.name}'" if one.name else "an architecture"
                raise ValueError(f"models[{index}]: {what} is named twice in 'models'; give each its own 'name'")
            if one.label in RESERVED:
                raise ValueError(
                    f"models[{index}]: '{one.label}' is a folder of the study itself; choose another name"
                )
        for place, name in [("", self.baseline)] + [
            (f"models[{index}]: ", one.baseline) for index, one in enumerate(self.models)
        ]:
            if name is not None and name not in labels:
                near = difflib.get_close_matches(name, labels, n=1)
                hint = f", did you mean '{near[0]}'?" if near else "."
                raise ValueError(
                    f"{place}there is no candidate '{name}' for a baseline{hint} There are: {', '.join(labels)}"
                )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed is given twice; its runs would be the same")
        if self.timed_seeds == "all" and not self.seeds:
            raise ValueError("'timed_seeds: all' needs 'seeds'; leave it out, every candidate is timed")
        return self

    def recipes(self) -> list[StudyRun]:
        """One recipe a candidate and seed, named after the study, the candidate and the seed."""
        shared = {name: getattr(self, name) for name in _Common.model_fields if name != "name"}
        labels = tuple(one.label for one in self.models)
        whole = store.digest(yaml_source.contract(self.model_dump(mode="json")))
        found = []
        for one in self.models:
            parts = {name: getattr(one, name) for name in Candidate.model_fields}
            for seed in self.seeds or (None,):
                study = Membership(
                    name=self.name,
                    candidate=one.label,
                    seed=seed,
                    baseline=one.baseline or self.baseline or labels[0],
                    candidates=labels,
                    seeds=self.seeds,
                    timed_seeds=self.timed_seeds,
                    sha256=whole,
                )
                seeded = parts if seed is None else {name: reseed(part, seed) for name, part in parts.items()}
                name = f"{self.name}-{one.label}" + ("" if seed is None else f"-seed-{seed}")
                found.append(StudyRun(name=name, study=study, **seeded, **shared))
        return found


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
    repeats = 1
    try:
        if "models" in source.data:
            study = yaml_source.validate(source, Study)
            recipes, repeats = [*study.recipes()], max(1, len(study.seeds))
        else:
            recipes = [yaml_source.validate(source, Recipe)]
    except InputError as error:
        problems.insert(0, str(error))
    for index, recipe in enumerate(recipes[::repeats]):
        prefix: tuple[str | int, ...] = ("models", index) if "models" in source.data else ()
        for key, config in _models(recipe):
            weights = config.weights
            if weights is not None and not (store.present(weights.path) and weights.path.is_file()):
                problems.append(
                    f"{source.where((*prefix, *key, 'weights', 'path'))}: no such file: {weights.path}; "
                    "the recipe's header says where to get it (EDGEKIT_WEIGHTS names the folder of the weights)"
                )
        teacher = recipe.teacher.passes if recipe.teacher else ()
        for key, passes in ((("passes",), recipe.passes), (("teacher", "passes"), teacher)):
            for number, one in enumerate(passes):
                unfit = one.unfit(recipe.task.kind)
                if unfit is not None:
                    problems.append(f"{source.where((*prefix, *key, number))}: {unfit}")
        for number, one in enumerate(recipe.passes):
            budget = getattr(one, "latency", None)
            if budget is not None and budget.target not in recipe.targets:
                place = (*prefix, "passes", number, "latency", "target")
                near = difflib.get_close_matches(budget.target, recipe.targets, n=1)
                problems.append(
                    f"{source.where(place)}: '{budget.target}' is no target of the recipe"
                    + (f", did you mean '{near[0]}'?" if near else "")
                    + f" (its targets: {', '.join(recipe.targets)})"
                )
    pinned = recipes[0].precision if recipes else None
    if pinned is not None and not problems:
        problems += _pinned(source, pinned, recipes, targets)
    other = recipes[0].evaluation.out_of_distribution if recipes else None
    if other is not None and other.path is not None and not store.present(other.path):
        at = source.where(("evaluation", "out_of_distribution", "path"))
        problems.append(f"{at}: no such file or folder: {other.path} (EDGEKIT_DATA names the folder of the data)")
    for file in recipes[0].data.files() if recipes else ():
        if not store.present(file):
            problems.append(
                f"{source.where(('data', 'path'))}: no such file or folder: {file}; "
                "the recipe's header says where to get it (EDGEKIT_DATA names the folder of the data)"
            )
    if problems:
        raise InputError("\n".join(problems))
    return recipes, targets


def _pinned(
    source: yaml_source.Source,
    pinned: target.Precision,
    recipes: Sequence[Recipe],
    targets: Mapping[str, target.Target],
) -> list[str]:
    """What is wrong with a recipe's ``precision``, where it has one."""
    at = source.where(("precision",))
    problems = [
        f"{at}: the target '{name}' does not allow {pinned}; it allows {', '.join(one.precisions)}"
        for name, one in targets.items()
        if pinned not in one.precisions
    ]
    if pinned == "int8" and not all(any(step.quantizes for step in one.passes) for one in recipes):
        problems.append(f"{at}: int8 needs a 'quantize' or 'qat' pass; add one")
    return problems


def _models(recipe: Candidate) -> list[tuple[tuple[str, ...], ModelConfig]]:
    """Every model that a recipe names, with the keys that lead to it."""
    teacher = [(("teacher", "model"), recipe.teacher.model)] if recipe.teacher else []
    return [(("model",), recipe.model), *teacher]


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
