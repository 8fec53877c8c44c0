"""Latency of models while a pass works: exported into a temporary folder, measured in turn in fresh processes.

The protocol is shorter than the recipe's: it decides between models, and the report's figures are taken later.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from edgekit import runtimes
from edgekit.errors import DeviceError, MissingError
from edgekit.measure.latency import Job, run_together

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model
    from edgekit.passes.base import PassConfig
    from edgekit.target import Precision, Target

PROCESSES = 3
WARMUP = 10
RUNS = 60
TIMEOUT_S = 900.0


class Trials:
    """Measures on real inputs; see ``passes.base.Trial`` for what calling it does."""

    def __init__(self, inputs: Callable[[], NDArray[np.float32]]) -> None:
        """
        Args:
            inputs: gives preprocessed images ``float32[k, C, H, W]``, which are taken in turn.
        """
        self._inputs = inputs

    def __call__(
        self, models: Mapping[str, Model], target: Target, precision: Precision
    ) -> dict[str, list[list[float]]]:
        """See ``passes.base.Trial``."""
        runtime = runtimes.get(target.runtime)
        lacks = target.elsewhere or runtime.cannot_export(target) or runtime.cannot_run(target)
        if lacks:
            raise MissingError(f"cannot be measured here: {lacks}", where=f"target '{target.name}'")
        found: dict[str, list[list[float]]] = {name: [] for name in models}
        with tempfile.TemporaryDirectory(prefix="edgekit-trial-") as place:
            inputs = Path(place) / "inputs.npy"
            np.save(inputs, self._inputs())
            jobs = []
            for index, (name, model) in enumerate(models.items()):
                folder = Path(place) / str(index)
                folder.mkdir()
                path = runtime.export(model, target, precision, folder).path
                jobs.append(Job(name, target.runtime, path, target, precision, inputs))
            for round_ in range(PROCESSES):
                first = round_ % max(1, len(jobs))
                turns = jobs[first:] + jobs[:first]
                for job, result in zip(turns, run_together(turns, WARMUP, RUNS, TIMEOUT_S), strict=True):
                    if isinstance(result, DeviceError):
                        raise result
                    found[job.artifact].append(list(result.samples_s))
        return found


def merged(model: Model, later: Sequence[PassConfig]) -> Model:
    """``model`` after the passes ``later``, none of which changes its results; one that cannot act is left out.

    What is pruned or factorized before its branches are merged ships merged, so that is what counts.
    """
    from edgekit.passes.base import Context, PassError

    for one in later:
        # None of them looks at the data.
        with contextlib.suppress(PassError):
            model = one.apply(model, Context(data=cast("Prepared", None))).model
    return model


def float_precision(target: Target) -> Precision | None:
    """The most precise floating-point precision that ``target`` allows; none where it takes INT8 only."""
    order: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
    return next((one for one in order if one in target.precisions), None)
