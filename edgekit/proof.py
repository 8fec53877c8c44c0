"""The proof that a pass was worth it: the model before and after it, measured in turn on the recipe's targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit import runtimes, store
from edgekit.evaluate.statistics import speedup
from edgekit.measure import machine, trial
from edgekit.progress import Update

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model
    from edgekit.passes.base import PassConfig
    from edgekit.passes.structural import StructuralPass
    from edgekit.stages import Stages
    from edgekit.target import Target
    from edgekit.variant import Made

#: Real images that the measuring processes take in turn.
_IMAGES = 8


@dataclass(frozen=True)
class Proven:
    """What the proof says.

    Attributes:
        rejected: why the pass is set aside; none where it goes on.
        warnings: for the top of the report: targets on which the model became no faster.
    """

    rejected: str | None
    warnings: tuple[str, ...]


class Proof:
    """Measures what passes that are done for speed bring."""

    def __init__(self, stages: Stages, targets: dict[str, Target], prepared: Prepared) -> None:
        """
        Args:
            stages: of the run.
            targets: the recipe's.
            prepared: the data; images of its validation split are the inputs.
        """
        self._stages = stages
        self._targets = targets
        self.trials = trial.Trials(lambda: prepared.inputs("val", prepared.spread("val", _IMAGES)))

    def run(
        self, name: str, config: StructuralPass, before: Made, after: Made, later: Sequence[PassConfig]
    ) -> Proven:
        """Measure the pass ``name`` on every target that runs here, and decide by its ``require_speedup``.

        Args:
            name: of the pass.
            config: the pass.
            before, after: the models.
            later: what still merges layers before export; both models are measured merged so, as they would ship.
        """
        key = {
            "before": before.stage.key,
            "after": after.stage.key,
            "required": config.require_speedup,
            "later": [one.model_dump(mode="json") for one in later],
            "targets": {one: target.model_dump(mode="json") for one, target in self._targets.items()},
            "machine": machine.fingerprint(machine.describe()),
            "code": store.code_sha256("proof.py", "measure", "runtimes", "passes"),
        }

        def work(folder: Path, update: Update) -> dict[str, Any]:
            rows: dict[str, Any] = {}
            models = {"before": trial.merged(before.model, later), "after": trial.merged(after.model, later)}
            for index, (target_name, target) in enumerate(self._targets.items()):
                update(index / len(self._targets), target_name)
                rows[target_name] = self._measured(target, models)
            rejected = _decide(rows, config.require_speedup)
            changes = {"pass": name, "latency": rows, "required": config.require_speedup, "rejected": rejected}
            return {"changes": changes, "note": rejected or _summary(rows)}

        result = self._stages.run(f"prove-{name}", "prove", key, work).result["changes"]
        warnings = [f"the pass {name} was rejected and the model before it kept: {result['rejected']}"]
        if not result["rejected"]:
            warnings = [
                f"the pass {name} made the model smaller and not faster on {target}: {_said(row)}"
                for target, row in result["latency"].items()
                if "speedup" in row and row["low"] <= 1
            ]
        return Proven(result["rejected"], tuple(warnings))

    def _measured(self, target: Target, models: dict[str, Model]) -> dict[str, Any]:
        runtime = runtimes.get(target.runtime)
        lacks = target.elsewhere or runtime.cannot_export(target) or runtime.cannot_run(target)
        precision = trial.float_precision(target)
        if lacks or precision is None:
            return {"not_measured": lacks or "the target allows no floating-point precision"}
        samples = self.trials(models, target, precision)
        ratio, low, high = speedup(samples["before"], samples["after"])
        return {
            "precision": precision,
            "before_p50_s": float(np.median(np.concatenate(samples["before"]))),
            "after_p50_s": float(np.median(np.concatenate(samples["after"]))),
            "speedup": ratio,
            "low": low,
            "high": high,
            "samples_s": samples,
        }


def _decide(rows: dict[str, Any], required: float | None) -> str | None:
    """Why the pass does not keep what it must bring; none where it does, or where nothing is asked."""
    if required is None:
        return None
    measured = {name: row for name, row in rows.items() if "speedup" in row}
    if not measured:
        return f"a speed-up of {required:g} was required, and no target of the recipe can be measured here"
    for name, row in measured.items():
        if row["speedup"] < required or row["low"] <= 1:
            return f"a speed-up of {required:g} was required, and {name} became {_said(row)}"
    return None


def _said(row: dict[str, Any]) -> str:
    return f"{row['speedup']:.2f} times as fast (95 % interval {row['low']:.2f} to {row['high']:.2f})"


def _summary(rows: dict[str, Any]) -> str:
    return ", ".join(f"{name} {row['speedup']:.2f}x" for name, row in rows.items() if "speedup" in row)
