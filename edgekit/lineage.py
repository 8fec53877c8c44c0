"""The models of a run: the one that the recipe names, and what each pass makes of it.

Every pass is a stage. One that is done for speed is followed by a stage that measures the model before and after
it on the recipe's targets; where it must be faster and is not, the model before it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import evaluate, store
from edgekit.data.prepared import Prepared
from edgekit.measure.trial import merged
from edgekit.passes.base import Context, PassConfig, PassError
from edgekit.passes.structural import StructuralPass
from edgekit.progress import Update
from edgekit.proof import Proof
from edgekit.recipe import ModelConfig, Recipe
from edgekit.runtimes import support
from edgekit.stages import Stages
from edgekit.store import Finished
from edgekit.target import Precision, Target
from edgekit.training.settings import Training
from edgekit.variant import Made

if TYPE_CHECKING:
    from edgekit.model import Model

#: What determines how a model is built, whatever the pass.
MODEL_CODE = (
    "model.py",
    "exact_norms.py",
    "checkpoint.py",
    "matching.py",
    "counts.py",
    "zoo",
    "passes/structural.py",
)


@dataclass
class Lineage:
    """What the passes made.

    Attributes:
        source: the trained model, before anything compresses it.
        final: the last floating-point model.
        quantized: the quantized one, where a pass quantizes.
        histories: the names of the stages that made each of them.
        steps: the models whose predictions may differ from those of the model before, by the name of the pass;
            the source is not among them, nor what was only quantized.
        lossy: whether the last float model may predict otherwise than the source.
        trained_int8: the name of the pass that trained the quantized model; none where none did.
        warnings: what the report must say at its top.
    """

    source: Made
    final: Made
    quantized: Made | None = None
    histories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    steps: dict[str, Made] = field(default_factory=dict)
    lossy: bool = False
    trained_int8: str | None = None
    warnings: list[str] = field(default_factory=list)


class Modelling:
    """Makes the models of a recipe, as stages."""

    def __init__(
        self,
        stages: Stages,
        recipe: Recipe,
        targets: dict[str, Target],
        module: str | None,
        data: Finished,
    ) -> None:
        """
        Args:
            stages: of the run.
            recipe: the recipe.
            targets: its targets, by name.
            module: ``--module``.
            data: the finished stage of the prepared data.
        """
        self._stages = stages
        self._recipe = recipe
        self._targets = targets
        self._module = module
        self._data = data
        self._prepared = Prepared.open(data.folder)
        self._proof = Proof(stages, targets, self._prepared)

    def lineage(self) -> Lineage:
        """Build the model, and the teacher where there is one, and run all passes."""
        teacher = self._teacher()
        made = self._model("model", self._recipe.model)
        line = Lineage(source=made, final=made)
        if teacher is not None:
            line.steps["teacher"] = teacher
        history = ["model"]
        line.histories = {"source": tuple(history), "final": tuple(history)}
        leading = True
        for index, config in enumerate(self._recipe.passes):
            name = f"{index + 1}-{config.kind}"
            later = _merging(self._recipe.passes[index + 1 :])
            before, made = made, self._pass(name, f"passes[{index}]", config, made, teacher, later)
            if isinstance(config, StructuralPass) and (config.saves_compute or config.require_speedup):
                proven = self._proof.run(name, config, before, made, later)
                line.warnings += proven.warnings
                if proven.rejected:
                    made = before
                    continue
            history.append(name)
            leading = leading and config.trains
            if config.quantizes:
                line.quantized = made
                line.histories["quantized"] = tuple(history)
                if isinstance(config, Training):
                    line.trained_int8 = name
                    line.steps[name] = made
                continue
            line.final = made
            line.histories["final"] = tuple(history)
            if leading:
                line.source = made
                line.histories["source"] = tuple(history)
            elif not config.keeps_outputs:
                line.steps[name] = made
                line.lossy = True
        return line

    def _teacher(self) -> Made | None:
        config = self._recipe.teacher
        if config is None:
            return None
        made = self._model("teacher", config.model)
        for index, one in enumerate(config.passes):
            made = self._pass(f"teacher-{index + 1}-{one.kind}", f"teacher.passes[{index}]", one, made, None)
        return made

    def _model(self, name: str, config: ModelConfig) -> Made:
        recipe = self._recipe
        key = {
            "model": config.model_dump(mode="json"),
            "classes": recipe.task.classes,
            "task": recipe.task.kind,
            "input": [recipe.input.channels, *recipe.input.size],
            "weights": store.file_sha256(config.weights.path) if config.weights else None,
            "module": _module_sha256(self._module),
            "code": store.code_sha256(*MODEL_CODE),
            "versions": store.versions("torch", "timm"),
        }

        def build(folder: Path, update: Update) -> dict[str, Any]:
            from edgekit import counts
            from edgekit.model import create

            model, weights = create(config, recipe.task.classes, recipe.input, self._module, recipe.task.kind)
            model.save(folder)
            changes = {
                "parameters_after": model.parameter_count,
                "macs_after": counts.macs(model.network, model.input_size),
                "weights": weights
                or ("random, on purpose" if config.untrained else "random, trained by this recipe"),
            }
            return {"changes": changes, "note": config.architecture}

        return Made(self._stages.run(name, name, key, build), self._module)

    def _pass(
        self,
        name: str,
        where: str,
        config: PassConfig,
        before: Made,
        teacher: Made | None,
        later: Sequence[PassConfig] = (),
    ) -> Made:
        compared = self._recipe.evaluation.parity_images
        kind = name.split("-")[-1] if not name.startswith("teacher") else "teacher"
        key = {
            "before": before.stage.key,
            "data": self._data.key,
            "config": config.model_dump(mode="json"),
            "code": store.code_sha256(*config.sources, "passes/base.py", *MODEL_CODE),
            "compared": compared,
            "versions": store.versions(
                "torch", "torchvision", "timm", "lightning-fabric", "torch-pruning", "scikit-learn"
            ),
            **self._needed(config, teacher, later),
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            from edgekit import counts

            try:
                outcome = config.apply(before.model, self._context(update, teacher, later))
            except PassError as error:
                raise PassError(
                    error.problem, where=f"{where}: {error.where or kind}", remedy=error.remedy
                ) from error
            after = outcome.model
            prepared = self._prepared
            inputs = prepared.inputs("val", prepared.spread("val", compared))
            parity = evaluate.compare(logits_of(before.model, inputs), logits_of(after, inputs))
            if config.keeps_outputs and (parity.relative is None or parity.relative > 1e-3):
                raise PassError(
                    f"the pass must keep the logits and changed them by {parity.relative} of the largest",
                    where=f"{where} ({kind})",
                    remedy="leave the pass out for this network, and report it",
                )
            after.save(folder)
            changes = {
                "parameters_before": before.model.parameter_count,
                "parameters_after": after.parameter_count,
                "macs_before": counts.macs(before.model.network, before.model.input_size),
                "macs_after": counts.macs(after.network, after.input_size),
                "agreement": {
                    "max_relative_difference": parity.relative,
                    "argmax_agreement": parity.argmax_agreement,
                    "images": parity.images,
                    "split": "val",
                },
                **outcome.changes,
            }
            agreement = parity.argmax_agreement
            note = "" if agreement is None or config.trains else f"agrees on {agreement:.1%} of val images"
            return {"changes": changes, "note": note}

        return Made(self._stages.run(name, kind, key, work), self._module)

    def _needed(self, config: PassConfig, teacher: Made | None, later: Sequence[PassConfig]) -> dict[str, Any]:
        """The part of the context that determines the result of ``config``, for the key of its stage."""
        from edgekit.measure import machine

        values: dict[str, Callable[[], Any]] = {
            "targets": lambda: {name: one.model_dump(mode="json") for name, one in self._targets.items()},
            "gates": lambda: self._recipe.gates.model_dump(mode="json"),
            "machine": lambda: [
                machine.fingerprint(machine.describe()),
                [one.model_dump(mode="json") for one in later],
            ],
            "teacher": lambda: teacher.stage.key if teacher else None,
        }
        return {name: values[name]() for name in config.needs()}

    def _context(self, update: Update, teacher: Made | None, later: Sequence[PassConfig]) -> Context:
        def trial(
            models: Mapping[str, Model], target: Target, precision: Precision
        ) -> dict[str, list[list[float]]]:
            return self._proof.trials({name: merged(one, later) for name, one in models.items()}, target, precision)

        return Context(
            data=self._prepared,
            progress=update,
            threads=support.threads(0),
            targets=self._targets,
            gates=self._recipe.gates,
            trial=trial,
            teacher=teacher.model if teacher else None,
        )


def _merging(passes: Sequence[PassConfig]) -> tuple[PassConfig, ...]:
    """The passes that will merge layers before export, and leave the results as they are."""
    return tuple(one for one in passes if one.keeps_outputs)


def logits_of(model: Model, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of a float model, or of the fake-quantized network of a quantized one."""
    from edgekit.model import logits

    return logits(as_run(model), inputs)


def as_run(model: Model) -> Model:
    """The model itself, or with the fake-quantized network where it is quantized."""
    if model.quantization is None:
        return model
    from edgekit.quantization import training_program

    return training_program.running(model, model.at_once)


def _module_sha256(module: str | None) -> str | None:
    """Hash of the file that holds the user's module, found without running it."""
    if module is None:
        return None
    file = Path(*module.split(":")[0].split(".")).with_suffix(".py")
    package = file.with_suffix("") / "__init__.py"
    for path in (file, package):
        if path.exists():
            return store.file_sha256(path)
    return module
