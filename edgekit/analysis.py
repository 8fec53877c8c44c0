"""The stages of the analyses that a recipe asks for by name, one for each artifact.

They are apart from the evaluation of the test split, so that asking for one does not evaluate anything else again,
and a failure of one leaves the rest whole: its figures are then "not measured", with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit import arrays, record, store
from edgekit.data.prepared import Prepared
from edgekit.errors import EdgekitError
from edgekit.evaluate import robustness_gate
from edgekit.evaluate.out_of_distribution import OutOfDistributionAnalysis
from edgekit.evaluate.robustness_analysis import RobustnessAnalysis
from edgekit.evaluate.saliency import SaliencyAnalysis
from edgekit.evaluate.subject import Analysis, Subject
from edgekit.evaluation import LOGITS
from edgekit.progress import Update
from edgekit.recipe import Recipe
from edgekit.stages import Stages
from edgekit.store import Finished
from edgekit.target import Target
from edgekit.variant import PYTORCH, Variant

_CODE = ("data/corruptions", "data/unlabelled.py", "evaluate", "analysis.py", "runtimes")
#: Distributions that an analysis computes with.
_PACKAGES = ("numpy", "pillow", "scipy", "monai", "captum")


def asked(recipe: Recipe, prepared: Prepared) -> list[Analysis]:
    """The analyses that the recipe names.

    Raises:
        InputError: one asks for what the images do not allow.
    """
    settings = recipe.evaluation
    resampled = settings.bootstrap, settings.seed
    found: list[Analysis] = []
    if settings.robustness is not None:
        found.append(RobustnessAnalysis(settings.robustness, prepared, recipe.task.modality, *resampled))
    if settings.out_of_distribution is not None:
        found.append(OutOfDistributionAnalysis(settings.out_of_distribution, prepared, *resampled))
    if settings.saliency is not None:
        found.append(SaliencyAnalysis(settings.saliency, prepared, *resampled))
    return found


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
        self._data = data
        self._sources: dict[str, Finished] = {}
        self._asked = asked(recipe, prepared)

    def artifact(
        self,
        variant: Variant,
        exported: Finished,
        path: Path,
        target: Target,
        evaluated: Finished | None,
        cannot_run: str | None,
    ) -> list[record.Measurement]:
        """All figures of one artifact, each with its interval or the reason why it is missing.

        Args:
            variant: what it is.
            exported: the stage that holds it.
            path: the file.
            target: its target, as the session is to be opened with.
            evaluated: the stage that evaluated it on the test split.
            cannot_run: why this machine cannot run it. Its answers on the test split may then come from a
                reference, which is too slow to answer that often.
        """
        reason = cannot_run or (None if evaluated else "it was not evaluated")
        if self._recipe.model.untrained:
            reason = "the weights are random (model.untrained): only latency, memory and size mean anything"
        rows: list[record.Measurement] = []
        for analysis in self._asked:
            if reason is not None or evaluated is None:
                rows += analysis.not_measured(variant.name, str(reason))
                continue
            try:
                done = self._stage(analysis, variant, exported, path, target, evaluated)
            except EdgekitError as error:
                rows += analysis.not_measured(variant.name, str(error))
                continue
            if variant.name == record.SOURCE:
                self._sources[analysis.name] = done
            rows += [record.Measurement.model_validate(row) for row in done.result["measurements"]]
        return rows

    def _stage(
        self,
        analysis: Analysis,
        variant: Variant,
        exported: Finished,
        path: Path,
        target: Target,
        evaluated: Finished,
    ) -> Finished:
        source = self._sources.get(analysis.name)
        key = {
            "artifact": exported.key,
            "data": self._data.key,
            "source": source.key if source else None,
            "analysis": analysis.key,
            "code": store.code_sha256(*_CODE),
            "versions": store.versions(*variant.runtime.packages, *_PACKAGES),
        }
        torch = variant.target.runtime == PYTORCH.runtime

        def work(folder: Path, update: Update) -> dict[str, Any]:
            subject = Subject(
                artifact=variant.name,
                run=variant.runtime.load(path, target, variant.precision).run,
                # Exported files take one image; PyTorch takes more at once, which only saves time.
                at_once=min(variant.made.model.at_once, 16) if torch else 1,
                logits=arrays.read(evaluated.folder / LOGITS),
                folder=folder,
                source=source.folder if source else None,
                network=(lambda: variant.made.model.copy().network) if torch else None,
            )
            rows, note = analysis.measure(subject, update)
            return {"measurements": [row.model_dump(mode="json") for row in rows], "note": note}

        return self._stages.run(f"{analysis.name}-{variant.name}", analysis.name, key, work)

    def gates(self, artifact: str, rows: list[record.Measurement]) -> list[record.Gate]:
        """The gates on the analyses; ``rows`` are the artifact's."""
        limit = self._recipe.gates.max_robustness_drop
        if limit is None or self._recipe.model.untrained:
            return []
        return [robustness_gate.check(artifact, rows, limit, self._recipe.gates)]
