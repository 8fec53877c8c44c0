"""The order of a run: data, model, passes, export, evaluation, measurement, record, report.

The only file that knows it. Each step is a stage of the store, keyed by everything that determines its result;
heavy libraries are loaded by the stages that must really work, so that a run which reuses all is quick.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import edgekit
from edgekit import card, hygiene, outputs, record, runtimes, store, thumbnails, verdict
from edgekit import recipe as recipes
from edgekit.analysis import Analyses
from edgekit.candidates import dynamic, not_native, variants
from edgekit.choose import recommend, undecided
from edgekit.data.prepared import Prepared, prepare
from edgekit.errors import DeviceError, InputError, MissingError, UnsupportedError
from edgekit.evaluation import LOGITS, Evaluation
from edgekit.lineage import MODEL_CODE, Modelling
from edgekit.measure import machine, preprocessing
from edgekit.measure.bench import Bench
from edgekit.measure.latency import Job
from edgekit.progress import Reporter, Update
from edgekit.recipe import Recipe
from edgekit.stages import Stages
from edgekit.store import Finished, Store
from edgekit.target import Target
from edgekit.variant import FUSED, QUANTIZED, Variant
from edgekit.yaml_source import contract


@dataclass(frozen=True)
class Judged:
    """What a run knows of its artifacts before they are timed.

    Attributes:
        data: the stage of the prepared data.
        artifacts: their entries in the record; the paths are still those inside their stages.
        places: the folder of each one's stage, by name.
        measurements: of evaluation.
        gates: all that were asked.
        predictions: on the test split.
        changed: where they are not the source's.
        logits: of the test split, by name: the files that hold them.
        jobs: what is to be timed, each with the key of the stage that made its file.
    """

    data: Finished
    artifacts: list[record.Artifact]
    places: dict[str, Path]
    measurements: list[record.Measurement]
    gates: list[record.Gate]
    predictions: list[record.Predictions]
    changed: list[record.Changed]
    logits: dict[str, Path]
    jobs: list[tuple[Job, str]]


class Run:
    """One recipe's way from data to record."""

    def __init__(
        self,
        recipe: Recipe,
        targets: dict[str, Target],
        folder: Path,
        module: str | None,
        reporter: Reporter,
        shared: Store | None = None,
    ) -> None:
        """
        Args:
            recipe: what to do.
            targets: the recipe's, by name.
            folder: where record, reports and artifacts go.
            module: ``--module``.
            reporter: told of progress.
            shared: the store of a study, which opens, prunes and closes it; without it the run has one of its own
                in ``folder``.

        Raises:
            MissingError: this machine cannot export for a target.
            InputError: no target allows what the passes end in, or the folder cannot be used.
        """
        self.recipe = recipe
        self.targets = targets
        self.folder = folder
        self.module = module
        self.reporter = reporter
        self.warnings: list[str] = []
        self.findings: dict[str, Any] = {}
        self._check_targets()
        self.store = shared or Store(folder, recipe.name)
        self.stages = Stages(self.store, reporter)

    def _check_targets(self) -> None:
        """Refuse at once what could not be exported hours later."""
        for name, target in self.targets.items():
            reason = runtimes.get(target.runtime).cannot_export(target)
            if reason:
                raise MissingError(f"cannot export for it: {reason}", where=f"target '{name}'")
        quantizes = [one.kind for one in self.recipe.passes if one.quantizes]
        if quantizes and not any("int8" in target.precisions for target in self.targets.values()):
            raise InputError(
                f"the recipe has a '{quantizes[0]}' pass and no target that allows int8",
                where="targets",
                remedy="add int8 to the 'precisions' of a target, or leave the pass out",
            )

    def execute(self, command: str) -> record.Record:
        """Run everything and write the record and its reports."""
        try:
            judged = self.judge()
            rivals = functools.partial(undecided, judged.artifacts)
            bench = Bench(self.store, self.recipe.benchmark, self.reporter, self.stages.used, undecided=rivals)
            for job, key in judged.jobs:
                bench.add(job, key)
            timed, failed = bench.measure()
            result = self.write(judged, timed, failed, bench.stages, command)
            self.store.prune(self.stages.used)
            return result
        finally:
            self.store.close()

    def judge(self) -> Judged:
        """Everything up to the measurement of latency: make the models, export, evaluate and judge them."""
        data = self._data()
        prepared = Prepared.open(data.folder)
        self.findings, leaks = hygiene.check(self.stages, data, prepared, self.recipe.data.leakage)
        self.warnings += leaks
        # Before the models: what the data does not allow is refused at once.
        analyses = Analyses(self.stages, self.recipe, prepared, data)
        modelling = Modelling(self.stages, self.recipe, self.targets, self.module, data)
        line = modelling.lineage()
        self.warnings += line.warnings
        evaluation = Evaluation(self.stages, self.recipe, prepared, data)
        references: dict[str, Finished] = {}
        if not self.recipe.model.untrained:
            for name, made in line.steps.items():
                step = evaluation.step(name, made)
                if name == line.trained_int8:
                    references[QUANTIZED] = step
        wanted = variants(line, self.targets, self.recipe)
        self.warnings += self._closed()
        if self.recipe.native_operators:
            reason = not_native(line, self.targets)
            self.warnings.append(f"'native_operators' changes nothing: {reason}" if reason else _NATIVE)
        return self._judge(wanted, references, evaluation, analyses, data, prepared)

    def _closed(self) -> list[str]:
        """What is to be said of targets whose files cannot leave open what the recipe wants open."""
        asked, named = set(self.recipe.dynamic), self.targets.items()
        closed = {name: asked - set(dynamic(runtimes.get(one.runtime), self.recipe)) for name, one in named}
        return [
            f"{name}: its files have a fixed {' and '.join(sorted(axes))}; "
            "the recipe's 'dynamic' holds for ONNX Runtime and OpenVINO"
            for name, axes in closed.items()
            if axes
        ]

    def _data(self) -> Finished:
        config, spec, dense = self.recipe.data, self.recipe.input, self.recipe.task.kind == "segmentation"
        config.fetch()
        key = {
            "data": config.model_dump(mode="json", exclude={"leakage"}),
            "input": spec.model_dump(mode="json"),
            "task": self.recipe.task.kind,
            "classes": self.recipe.task.classes,
            "files": [store.file_sha256(path) for path in config.files()],
            "code": store.code_sha256("data", "measure/preprocessing.py"),
            "versions": store.versions("numpy", "pillow", "scikit-image", "medmnist", "nibabel"),
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            dataset = config.load(self.recipe.task.classes, dense=dense)
            summary = prepare(dataset, spec, folder, update, dense=dense)
            counts = ", ".join(f"{name} {part['count']}" for name, part in summary["splits"].items())
            return {"summary": summary, "preprocessing": preprocessing.times(dataset, spec), "note": counts}

        done = self.stages.run("data", "data", key, work)
        self.warnings += done.result["summary"]["notes"]
        return done

    def _export(self, variant: Variant, prepared: Prepared, begun: Finished | None) -> Finished:
        """The stage that holds the artifact; ``begun`` is that of the variant whose file it begins with, if any."""
        key = {
            "model": variant.made.stage.key,
            "target": variant.target.model_dump(mode="json"),
            "precision": variant.precision,
            "input": self.recipe.input.model_dump(mode="json"),
            "task": self.recipe.task.model_dump(mode="json"),
            "code": store.code_sha256("runtimes", "quantization", "card.py", *MODEL_CODE),
            "versions": store.versions("torch", "timm", *variant.packages),
            "options": variant.options,
            "dynamic": variant.dynamic,
            "native": variant.native,
            "calibrated": variant.own.key if variant.own else None,
            "begun": begun.key if begun else None,
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            if begun is not None and begun.result.get("refused"):
                return {**begun.result}
            try:
                if begun is not None and variant.own is None:
                    made = outputs.copy(begun, folder)
                else:
                    made = variant.export(prepared, folder, outputs.exported(begun) if begun else None)
            except UnsupportedError as error:
                # The other targets do not suffer from it: the record says what this one cannot take.
                return _REFUSED | {"refused": str(error), "note": str(error)}
            size = sum(store.size_bytes(path) for path in folder.iterdir())
            written = card.write(folder, variant, made, self.recipe)
            return {
                "file": made.path.name,
                "sha256": outputs.files_sha256(folder),
                "size_bytes": size,
                "inputs": written["inputs"],
                "outputs": written["outputs"],
                "details": made.details,
            }

        return self.stages.run(f"export-{variant.name}", "export", key, work)

    # What the exported files do

    def _judge(
        self,
        wanted: list[Variant],
        references: dict[str, Finished],
        evaluation: Evaluation,
        analyses: Analyses,
        data: Finished,
        prepared: Prepared,
    ) -> Judged:
        """Export, evaluate and judge; ``references`` gains the stages that hold logits, by name."""
        inputs = evaluation.inputs()
        done: dict[str, Finished] = {}
        jobs: list[tuple[Job, str]] = []
        artifacts: list[record.Artifact] = []
        places: dict[str, Path] = {}
        measurements = [preprocessing.measurement(data.result["preprocessing"])]
        gates: list[record.Gate] = []
        predictions: list[record.Predictions] = []
        changed: list[record.Changed] = []
        logits: dict[str, Path] = {}
        for variant in wanted:
            exported = done[variant.name] = self._export(variant, prepared, done.get(variant.begins_with))
            refused = exported.result.get("refused")
            path = exported.folder / exported.result["file"]
            target = self._with_module(variant.run_on)
            cannot_run = refused or variant.runtime.cannot_run(variant.target)
            lacks = None if cannot_run else variant.runtime.lacks(variant.target, variant.precision)
            cannot_run = cannot_run or lacks
            evaluated: Finished | None = None
            failure: str | None = None
            if not (refused or lacks) and variant.runtime.cannot_check(variant.target) is None:
                try:
                    evaluated = evaluation.artifact(variant, exported, path, target, references)
                except UnsupportedError as error:
                    cannot_run = f"{cannot_run}; {error}" if cannot_run else str(error)
                except DeviceError as error:
                    failure = str(error)
            if variant.name == record.SOURCE and evaluated is None:
                raise DeviceError(f"the source cannot be run in PyTorch: {failure or cannot_run}")
            if evaluated is not None and variant.name in (record.SOURCE, FUSED):
                references[variant.name] = evaluated
            own = verdict.figures(variant, evaluated, cannot_run or failure, self.recipe)
            own += analyses.artifact(variant, exported, path, target, evaluated, cannot_run or failure)
            measurements += own
            judged: list[record.Gate] = []
            if evaluated is not None and variant.name != record.SOURCE:
                source_rows = [m for m in measurements if m.artifact == record.SOURCE]
                judged = verdict.gates(variant, evaluated, own, source_rows, self.recipe)
                judged += analyses.gates(variant.name, own)
                gates += judged
            artifacts.append(
                verdict.artifact(variant, exported, evaluated, cannot_run, failure, judged, self.recipe)
            )
            places[variant.name] = exported.folder
            if evaluated is not None and evaluated.result.get("predictions"):
                predictions.append(record.Predictions(artifact=variant.name, **evaluated.result["predictions"]))
                logits[variant.name] = evaluated.folder / LOGITS
            if evaluated is not None and evaluated.result.get("changed"):
                changed.append(record.Changed.model_validate(evaluated.result["changed"]))
            if target.elsewhere and not refused and failure is None:
                there = f"{target.elsewhere}; 'edgekit bench --target {target.name}' measures it there"
                measurements.append(_unmeasured(variant.name, there))
            elif evaluated is not None and cannot_run is None:
                timed = variant.name not in (record.SOURCE, FUSED) or self.recipe.benchmark.source
                if timed:
                    job = Job(variant.name, target.runtime, path, target, variant.precision, inputs)
                    jobs.append((job, exported.key))
                else:
                    measurements.append(_unmeasured(variant.name, "the recipe says benchmark.source: false"))
            else:
                measurements.append(_unmeasured(variant.name, str(cannot_run or failure)))
        return Judged(data, artifacts, places, measurements, gates, predictions, changed, logits, jobs)

    def _with_module(self, target: Target) -> Target:
        if target.runtime != "torch_eager" or self.module is None:
            return target
        return target.model_copy(update={"options": {**target.options, "module": self.module}})

    def write(
        self,
        judged: Judged,
        timed: list[record.Measurement],
        failed: dict[str, str],
        stages: list[record.Stage],
        command: str,
        exemplars: Sequence[record.Exemplars] = (),
    ) -> record.Record:
        """Choose among the artifacts, put them in their places, and write the record and its reports.

        Args:
            judged: from ``judge``.
            timed: the latencies.
            failed: why an artifact could not be timed, by name.
            stages: of the measurement.
            command: as the user wrote it.
            exemplars: over the seeds of a study.
        """
        measurements = [*judged.measurements, *timed, *(_unmeasured(*one) for one in failed.items())]
        artifacts = [
            one.model_copy(update={"status": "failed", "reason": failed[one.name]}) if one.name in failed else one
            for one in judged.artifacts
        ]
        # What 'edgekit bench' measured, perhaps on a device, decides the gates on cost as well.
        measurements += outputs.benched(artifacts, self.folder)
        study = getattr(self.recipe, "study", None)
        artifacts, costs = verdict.budgeted(artifacts, measurements, self.recipe, study is None or study.timed)
        artifacts = recommend(artifacts, measurements)
        artifacts = [outputs.place(one, judged.places[one.name], self.folder) for one in artifacts]
        prepared = Prepared.open(judged.data.folder)
        labels = prepared.labels("test") if judged.predictions else ()
        commit, dirty = machine.commit()
        made = record.Record(
            edgekit_version=edgekit.__version__,
            git_commit=commit,
            git_dirty=dirty,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            recipe=recipes.plain(self.recipe),
            recipe_sha256=recipes.sha256(self.recipe),
            data=contract({**judged.data.result["summary"], "hygiene": self.findings}),
            machine=machine.describe(),
            targets={name: target.model_dump(mode="json") for name, target in self.targets.items()},
            stages=(*self.stages.done, *stages),
            artifacts=tuple(artifacts),
            measurements=tuple(measurements),
            gates=(*judged.gates, *costs),
            labels=tuple(int(label) for label in labels),
            predictions=tuple(judged.predictions),
            changed=tuple(judged.changed),
            thumbnails=thumbnails.of(judged.changed, prepared, self.recipe.evaluation.thumbnails),
            subgroups=prepared.subgroups("test") if judged.predictions else {},
            exemplars=tuple(exemplars),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )
        outputs.publish(made, self.folder)
        outputs.sweep(artifacts, self.folder)
        return made


_NATIVE = (
    "files named '-native' run only where the library of edgekit's operator is loaded; it is built from the C++ "
    "sources beside them, by the command in their example.py"
)
#: What the record says of an artifact that could not be made.
_REFUSED = {"file": "", "sha256": "", "size_bytes": 0, "inputs": [], "outputs": [], "details": {}}


def _unmeasured(artifact: str, reason: str) -> record.Measurement:
    return record.Measurement(
        artifact=artifact, metric="latency_s", unit="s", not_measured_reason=reason, method="not measured"
    )
