"""What an analysis is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.record import Measurement

if TYPE_CHECKING:
    from torch import nn

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Update = Callable[[float, str], None]


@dataclass(frozen=True)
class Subject:
    """One artifact under analysis.

    Attributes:
        artifact: its name in the record.
        run: logits of normalized inputs.
        at_once: inputs that ``run`` takes at a time.
        logits: ``[n, ...]`` on the whole test split.
        folder: where the analysis puts what it wants to compare artifacts by.
        source: the same folder of the source; none for the source itself.
        network: for a model in PyTorch, the network, which has gradients; none for an exported file.
    """

    artifact: str
    run: Run
    at_once: int
    logits: NDArray[np.float32]
    folder: Path
    source: Path | None
    network: Callable[[], nn.Module] | None = None

    def answers(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of any number of inputs."""
        starts = range(0, len(inputs), self.at_once)
        return np.concatenate([self.run(inputs[start : start + self.at_once]) for start in starts])


class Analysis(Protocol):
    """One analysis that a recipe asks for."""

    #: In the recipe's ``evaluation``, and of its stages.
    name: str
    #: All that determines its figures, beside the artifact and the data.
    key: dict[str, Any]

    def measure(self, subject: Subject, update: Update) -> tuple[list[Measurement], str]:
        """All its figures of one artifact, and the one that a line of progress shows."""
        ...

    def not_measured(self, artifact: str, reason: str) -> list[Measurement]:
        """The same metrics with the reason why they are missing."""
        ...
