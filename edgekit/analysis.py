"""The stages of the analyses that a recipe asks for by name: robustness, and what else stands in ``analyses``.

They are apart from the evaluation of the test split, so that asking for one does not evaluate anything else again,
and a failure of one leaves the rest whole: its figures are then "not measured", with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit import arrays, record, store
from edgekit.data.prepared import Prepared
from edgekit.errors import EdgekitError
from edgekit.evaluate import robustness, robustness_figures, robustness_gate
from edgekit.progress import Update
from edgekit.recipe import Recipe
from edgekit.stages import Stages
from edgekit.store import Finished
from edgekit.target import Target
from edgekit.variant import PYTORCH, Variant

_ANSWERS = "answers.npy"
_CODE = ("data/corruptions", "evaluate", "analysis.py", "runtimes")
#: Distributions that an analysis computes with.
_PACKAGES = ("numpy", "pillow", "scipy", "monai")


class Analyses:
    """Runs the analyses of one recipe on its artifacts, the source first."""

    def __init__(self, stages: Stages, recipe: Recipe, prepared: Prepared, data: Finished) -> None:
        """
        Args:
            stages: of the run.
            recipe: the recipe.
            prepared: its data.
            data: the stage that made it.

        Raises:
            InputError: the recipe asks for what its images do not allow.
        """
        self._stages = stages
        self._recipe = recipe
        self._prepared = prepared
        self._data = data
        self._source: dict[str, Finished] = {}
        settings = recipe.evaluation.robustness
        self._plan = (
            robustness.plan(settings, recipe.task.modality, prepared, recipe.evaluation.seed) if settings else None
        )

    def artifact(
        self, variant: Variant, exported: Finished, path: Path, target: Target, cannot_run: str | None
    ) -> list[record.Measurement]:
        """All figures of one artifact, each with its interval or the reason why it is missing.

        Args:
            variant: what it is.
            exported: the stage that holds it.
            path: the file.
            target: its target, as the session is to be opened with.
            cannot_run: why this machine cannot run it. Its answers on the test split may then come from a
                reference, which is too slow to answer that often.
        """
        reason = cannot_run
        if self._recipe.model.untrained:
            reason = "the weights are random (model.untrained): only latency, memory and size mean anything"
        return self._robustness(variant, exported, path, target, reason) if self._plan is not None else []

    def gates(self, artifact: str, rows: list[record.Measurement]) -> list[record.Gate]:
        """The gates on the analyses; ``rows`` are the artifact's."""
        limit = self._recipe.gates.max_robustness_drop
        if self._plan is None or limit is None or self._recipe.model.untrained:
            return []
        return [robustness_gate.check(artifact, rows, limit, self._recipe.gates)]

    def _robustness(
        self, variant: Variant, exported: Finished, path: Path, target: Target, reason: str | None
    ) -> list[record.Measurement]:
        planned, prepared, settings = self._plan, self._prepared, self._recipe.evaluation
        assert planned is not None
        assert settings.robustness is not None
        dense = prepared.dense
        if reason is not None:
            return robustness_figures.not_measured(variant.name, planned, dense, reason)
        source = self._source.get("robustness")
        key = {
            "artifact": exported.key,
            "data": self._data.key,
            "source": source.key if source else None,
            "settings": settings.robustness.model_dump(mode="json"),
            "modality": self._recipe.task.modality,
            "bootstrap": settings.bootstrap,
            "seed": settings.seed,
            "code": store.code_sha256(*_CODE),
            "versions": store.versions(*variant.runtime.packages, *_PACKAGES),
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            session = variant.runtime.load(path, target, variant.precision)
            at_once = _at_once(variant)
            found = robustness.answers(prepared, planned, session.run, at_once, update)
            np.save(folder / _ANSWERS, found)
            before = None if source is None else arrays.read(source.folder / _ANSWERS)
            rows = robustness_figures.rows(variant.name, found, before, planned, dense, settings.bootstrap)
            mean = next(row for row in rows if row.metric == robustness_figures.MEAN)
            shown = mean.samples[0] if mean.samples else float("nan")
            return {
                "measurements": [row.model_dump(mode="json") for row in rows],
                "note": f"error on corrupted images {shown:.3f}",
            }

        try:
            done = self._stages.run(f"robustness-{variant.name}", "robustness", key, work)
        except EdgekitError as error:
            return robustness_figures.not_measured(variant.name, planned, dense, str(error))
        if variant.name == record.SOURCE:
            self._source["robustness"] = done
        return [record.Measurement.model_validate(row) for row in done.result["measurements"]]


def _at_once(variant: Variant) -> int:
    """Exported files take one image; PyTorch takes more at once, which only saves time."""
    return min(variant.made.model.at_once, 16) if variant.target.runtime == PYTORCH.runtime else 1
