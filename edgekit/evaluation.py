"""The stages that evaluate models and exported files on the test split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays, evaluate, record, store
from edgekit.data.base import SplitName
from edgekit.data.prepared import Prepared
from edgekit.evaluate import Parity, temperature
from edgekit.evaluate.analyses import ANALYSES
from edgekit.evaluate.temperature import Temperature
from edgekit.lineage import as_run
from edgekit.progress import Update
from edgekit.recipe import Recipe
from edgekit.runtimes import open_axes
from edgekit.runtimes.base import Session
from edgekit.runtimes.open_axes import Sizes
from edgekit.stages import Stages
from edgekit.store import Finished
from edgekit.target import Target
from edgekit.variant import PYTORCH, QUANTIZED, Made, Variant

LOGITS = "logits.npy"
#: Images that a file with an open batch is given at a time, to see whether it answers as one by one.
_TOGETHER = 5
#: Keys of a recipe's ``evaluation`` that the figures of the test split do not depend on.
_ASIDE = {*ANALYSES, "thumbnails"}


class Evaluation:
    """Evaluates what one recipe makes, each thing once."""

    def __init__(self, stages: Stages, recipe: Recipe, prepared: Prepared, data: Finished) -> None:
        """
        Args:
            stages: of the run.
            recipe: the recipe.
            prepared: its data.
            data: the stage that made it.
        """
        self._stages = stages
        self._recipe = recipe
        self._prepared = prepared
        self._data = data
        self._task = evaluate.task(recipe.task.kind, prepared, recipe.task.classes)

    def step(self, name: str, made: Made) -> Finished:
        """What a pass did to the predictions on the test split: to be reported, never to choose by."""
        settings = self._recipe.evaluation
        key = {
            "model": made.stage.key,
            "data": self._data.key,
            "evaluation": settings.model_dump(mode="json", exclude=_ASIDE | {"temperature_scaling"}),
            "code": store.code_sha256("evaluate", "evaluation.py", "exact_norms.py", "model.py", "quantization"),
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            from edgekit.model import logits as run

            model, prepared = as_run(made.model), self._prepared
            count, at_once = prepared.count("test"), model.at_once
            parts = (
                run(model, prepared.inputs("test", np.arange(start, min(start + at_once, count))))
                for start in range(0, count, at_once)
            )
            logits = _write(folder / LOGITS, parts, count, update)
            rows = self._task.evaluate(name, logits, settings.bootstrap, settings.seed)
            figures = {
                row.metric: {
                    "value": row.samples[0] if row.samples else None,
                    "interval": row.interval,
                    "positives": row.conditions.get("positives"),
                    "wilson_95": row.conditions.get("wilson_95"),
                    "reason": row.not_measured_reason,
                }
                for row in rows
            }
            changes = {"pass": name, "split": "test", "figures": figures}
            return {"changes": changes, "note": self._task.headline(rows)}

        return self._stages.run(f"evaluate-{name}", "evaluate_step", key, work)

    def artifact(
        self,
        variant: Variant,
        exported: Finished,
        path: Path,
        target: Target,
        references: Mapping[str, Finished],
    ) -> Finished:
        """Run an exported file over the test split, compare it with its reference, and compute its figures.

        Args:
            variant: what it is.
            exported: the stage that holds it.
            path: the file.
            target: its target, as the session is to be opened with.
            references: the stages that hold the logits of the source and of what else it may be compared with.
        """
        settings, prepared = self._recipe.evaluation, self._prepared
        trained = not self._recipe.model.untrained
        reference, source = references.get(variant.reference), references.get(record.SOURCE)
        if variant.reference == QUANTIZED and reference is None:
            # With random weights no step is evaluated; the source then stands for what cannot be told apart.
            reference = source
        key = {
            "artifact": exported.key,
            "data": self._data.key,
            "reference": reference.key if reference else None,
            "source": source.key if source else None,
            "evaluation": settings.model_dump(mode="json", exclude=_ASIDE),
            "trained": trained,
            "code": store.code_sha256("evaluate", "evaluation.py", "exact_norms.py", "runtimes"),
            "versions": store.versions(*variant.runtime.packages, "numpy", "scikit-learn", "scipy"),
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            session = variant.runtime.check(path, target, variant.precision)
            count = prepared.count("test")
            chosen = np.arange(count) if trained else prepared.spread("test", settings.parity_images)
            # Exported files take one image; PyTorch takes more at once, which only saves time.
            size = min(variant.made.model.at_once, 16) if variant.target.runtime == PYTORCH.runtime else 1
            logits = _write(folder / LOGITS, self._runs(session, chosen, size), len(chosen), update)
            # After a run: where sizes are open, the runtime tells of the last one.
            result: dict[str, Any] = {"executed": asdict(session.executed())}
            if "batch" in variant.dynamic:
                some = arrays.spread(len(chosen), settings.parity_images)
                together = np.concatenate(list(self._runs(session, chosen[some], _TOGETHER)))
                result["in_batches"] = asdict(evaluate.compare(logits[some], together))
            if "size" in variant.dynamic:
                taken = Sizes(**exported.result["details"]["sizes"])
                result["in_sizes"] = asdict(self._in_sizes(session, variant.made, taken))
            if reference is not None:
                base = arrays.read(reference.folder / LOGITS)
                some = arrays.spread(len(chosen), settings.parity_images)
                result["parity"] = asdict(evaluate.compare(base[some], logits[some]))
                # The whole split as well: the gate's images are few, and a reader may ask about the rest.
                result["parity_all"] = asdict(evaluate.compare(base, logits))
            before = None if source is None else arrays.read(source.folder / LOGITS)
            if before is not None:
                result["source_all"] = asdict(evaluate.compare(before, logits))
            if trained:
                rows = self._task.evaluate(variant.name, logits, settings.bootstrap, settings.seed, before)
                if settings.temperature_scaling:
                    found = self._temperature(session, size, update)
                    result["temperature"] = asdict(found)
                    scaled = logits / (found.value or 1.0)
                    of_source = source.result["temperature"]["value"] if source is not None else None
                    # Like is compared with like: the source's logits are divided by the source's own temperature.
                    divided = None if before is None or of_source is None else before / of_source
                    after = self._task.evaluate(variant.name, scaled, settings.bootstrap, settings.seed, divided)
                    rows += temperature.measurements(variant.name, found, after)
                result["measurements"] = [row.model_dump(mode="json") for row in rows]
                result["note"] = self._task.headline(rows)
                result["predictions"] = self._task.predictions(logits)
                moved = None if before is None else self._task.changed(variant.name, before, logits)
                result["changed"] = moved.model_dump(mode="json") if moved else None
            return result

        return self._stages.run(f"evaluate-{variant.name}", "evaluate", key, work)

    def inputs(self) -> Path:
        """Some real, preprocessed test images that every measuring process reads."""

        def work(folder: Path, update: Update) -> dict[str, Any]:
            images = self._prepared.inputs("test", self._prepared.spread("test", 8))
            np.save(folder / "inputs.npy", images)
            return {"note": f"{len(images)} test images"}

        return self._stages.run("inputs", "inputs", {"data": self._data.key}, work).folder / "inputs.npy"

    def _in_sizes(self, session: Session, made: Made, taken: Sizes) -> Parity:
        """A file with open sizes, beside the network that it was exported of, on test images of other sizes."""
        import torch

        from edgekit.model import logits as run

        prepared, model = self._prepared, made.model
        images = prepared.inputs("test", prepared.spread("test", self._recipe.evaluation.parity_images))
        found = []
        for size in open_axes.others(taken, model.input_size[1:]):
            mode = "bilinear" if len(size) == 2 else "trilinear"
            resized = torch.nn.functional.interpolate(torch.from_numpy(images), size, mode=mode).numpy()
            answers = np.concatenate([session.run(one[None]) for one in resized])
            found.append(
                evaluate.compare(run(replace(model, input_size=(len(images[0]), *size)), resized), answers)
            )
        return evaluate.worst(found)

    def _temperature(self, session: Session, size: int, update: Update) -> Temperature:
        """Fitted on the whole validation split, of which no figure is reported."""
        count = self._prepared.count("val")
        update(0.0, "temperature, validation images")
        logits = np.concatenate(list(self._runs(session, np.arange(count), size, "val")))
        return temperature.fit(logits, self._prepared.labels("val"))

    def _runs(
        self, session: Session, chosen: NDArray[np.int64], size: int, split: SplitName = "test"
    ) -> Iterable[NDArray[np.float32]]:
        for start in range(0, len(chosen), size):
            yield session.run(self._prepared.inputs(split, chosen[start : start + size]))


def _write(path: Path, parts: Iterable[NDArray[np.float32]], count: int, update: Update) -> NDArray[np.float32]:
    """Logits ``[count, ...]`` written as they come, and opened as a memory map."""
    with arrays.Writer(path) as file:
        for part in parts:
            file.write(part)
            update(file.written / count, "test images")
    return arrays.read(path)
