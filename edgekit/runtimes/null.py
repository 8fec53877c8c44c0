"""The null runtime: it answers at once, or after as long as a recorded run took. It tests what measures the others.

What a measurement of it shows is the cost of the harness itself, which every latency holds (LoadGen's null system
under test). Replaying recorded samples tests the arithmetic on a run whose answer is known.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, UnsupportedError
from edgekit.runtimes.base import Executed, Exported, Runtime

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target

_WHY = "the null runtime computes nothing: it measures edgekit's own cost"


class Null(Runtime):
    """No target names it, and it exports nothing."""

    name = "null"
    packages: tuple[str, ...] = ()

    def cannot_export(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        return _WHY

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        return None

    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Refuses."""
        raise UnsupportedError(_WHY)

    def load(self, path: Path, target: Setting, precision: Precision) -> NullSession:
        """Open a JSON list of seconds, which the runs take one after the other; of none they take no time.

        Raises:
            InputError: it is no such list.
        """
        try:
            samples_s = [float(one) for one in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"is no JSON list of seconds: {error}", where=str(path)) from None
        return NullSession(samples_s)


class NullSession:
    """Answers zeros for two classes."""

    def __init__(self, samples_s: Sequence[float] = ()) -> None:
        """Args: samples_s: how long each run takes, over and over."""
        self._output: NDArray[np.float32] = np.zeros((1, 2), dtype=np.float32)
        self._next = itertools.cycle(samples_s).__next__ if samples_s else None

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Session``."""
        if self._next is not None:
            # Not asleep, from which a process returns late.
            end = time.perf_counter() + self._next()
            while time.perf_counter() < end:
                pass
        return self._output

    def executed(self) -> Executed:
        """Nothing was."""
        return Executed("unknown", {}, "the null runtime executes nothing")
