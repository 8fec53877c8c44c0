"""The analysis ``robustness`` of a recipe: corrupted images in, errors out."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit import arrays
from edgekit.data.prepared import Prepared
from edgekit.evaluate import robustness, robustness_figures
from edgekit.evaluate.analyses import Robustness
from edgekit.evaluate.subject import Analysis, Subject, Update
from edgekit.record import Measurement

_ANSWERS = "answers.npy"


class RobustnessAnalysis(Analysis):
    """See ``robustness`` and ``robustness_figures``."""

    name = "robustness"

    def __init__(self, settings: Robustness, prepared: Prepared, modality: str, bootstrap: int, seed: int) -> None:
        """
        Args:
            settings: of the recipe.
            prepared: its data.
            modality: of its task.
            bootstrap: number of resamples.
            seed: of the corruptions and of the resamples.

        Raises:
            InputError: a corruption that the recipe names cannot be applied to its images.
        """
        self._prepared = prepared
        self._plan = robustness.plan(settings, modality, prepared, seed)
        self._bootstrap = bootstrap
        self.key: dict[str, Any] = {
            "settings": settings.model_dump(mode="json"),
            "modality": modality,
            "bootstrap": bootstrap,
            "seed": seed,
        }

    def measure(self, subject: Subject, update: Update) -> tuple[list[Measurement], str]:
        """See ``Analysis``."""
        dense = self._prepared.dense
        found = robustness.answers(self._prepared, self._plan, subject.run, subject.at_once, update)
        np.save(subject.folder / _ANSWERS, found)
        before = None if subject.source is None else arrays.read(subject.source / _ANSWERS)
        rows = robustness_figures.rows(subject.artifact, found, before, self._plan, dense, self._bootstrap)
        mean = next(row for row in rows if row.metric == robustness_figures.MEAN)
        return rows, f"error on corrupted images {mean.samples[0]:.3f}" if mean.samples else ""

    def not_measured(self, artifact: str, reason: str) -> list[Measurement]:
        """See ``Analysis``."""
        return robustness_figures.not_measured(artifact, self._plan, self._prepared.dense, reason)
