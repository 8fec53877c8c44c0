"""What a device is: it measures jobs in turn, each time in a fresh process, and hands each result on at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.measure.plan import Turn
from edgekit.measure.protocol import WorkerResult

if TYPE_CHECKING:
    from edgekit.measure.latency import Job
    from edgekit.recipe import Benchmark


class Sink(Protocol):
    """Who wants the results."""

    def begin(self, machine: dict[str, Any]) -> Sequence[Turn]:
        """Told what the device is (``measure.machine.describe``); gives the turns that are still to be taken."""
        ...

    def started(self, turn: Turn) -> None:
        """A process begins."""
        ...

    def take(self, turn: Turn, result: WorkerResult, seconds: float) -> None:
        """Keeps a result, which took ``seconds``."""
        ...

    def failed(self, turn: Turn, why: str) -> None:
        """The turn's artifact could not be measured, and is not tried again."""
        ...


class Device(Protocol):
    """One machine on which artifacts are measured."""

    def measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        """Take the turns that ``sink`` gives.

        Raises:
            MissingError: the device lacks the runtime, or something else that is needed.
            DeviceError: it cannot be reached, refuses, or failed; what ``sink`` took is kept.
        """
        ...
