"""What a pass is: a frozen config that turns one model into another and says what it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from edgekit.errors import EdgekitError
from edgekit.schema import Frozen

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model, Task
    from edgekit.recipe import Gates
    from edgekit.target import Precision, Target


#: A part of the context that determines a pass's result: it becomes part of the key of the pass's stage.
Need = Literal["targets", "gates", "machine", "teacher"]


class PassError(EdgekitError):
    """A pass could not do its work on this model, or would have changed nothing."""


class Trial(Protocol):
    """Measures models on a target while a pass works; ``measure.trial`` is the one that pipelines give."""

    def __call__(
        self, models: Mapping[str, Model], target: Target, precision: Precision
    ) -> dict[str, list[list[float]]]:
        """Latency samples in seconds by name, one list a fresh process; the models take turns.

        Raises:
            MissingError: this machine cannot export for the target, or not run it.
            DeviceError: a measuring process failed.
        """
        ...


@dataclass(frozen=True)
class Context:
    """What a pass may use.

    Attributes:
        data: the prepared splits (``train`` and ``val``; a pass never reads ``test``).
        progress: called with the fraction done (0 to 1) and a short text.
        threads: CPU threads that it may use.
        targets: the recipe's targets, by name.
        gates: what artifacts must keep; none outside a pipeline.
        trial: measures models on a target; none outside a pipeline.
        teacher: the recipe's trained teacher; none where it has none.
    """

    data: Prepared
    progress: Callable[[float, str], None] = lambda fraction, text: None
    threads: int = 1
    targets: Mapping[str, Target] = field(default_factory=dict)
    gates: Gates | None = None
    trial: Trial | None = None
    teacher: Model | None = None


@dataclass(frozen=True)
class Outcome:
    """The new model and what changed: counts, names, figures. Plain data that JSON can hold."""

    model: Model
    changes: dict[str, Any] = field(default_factory=dict)


class PassConfig(Frozen):
    """Base of every pass. One file each in ``edgekit/passes/``.

    Attributes:
        not_after: kinds that must not have run before it, each with the reason.
        trains: whether it trains the model as such; what leads a recipe and trains makes the source.
        quantizes: whether its result is a quantized model, for the targets that allow int8.
        keeps_outputs: whether the logits should stay the same up to rounding; the pipeline checks it.
        sources: files and folders of edgekit whose code determines the result, relative to the package.
    """

    not_after: ClassVar[dict[str, str]] = {}
    trains: ClassVar[bool] = False
    quantizes: ClassVar[bool] = False
    keeps_outputs: ClassVar[bool] = False
    sources: ClassVar[tuple[str, ...]] = ()

    def conflict(self, before: Sequence[str]) -> str | None:
        """Why its settings make no sense after passes of the kinds ``before``; none where they do."""
        return None

    def unfit(self, task: Task) -> str | None:
        """Why its settings do not go with a task of this kind; none where they do."""
        return None

    def needs(self) -> tuple[Need, ...]:
        """What its result depends on besides the model, the data and its own settings.

        A pass that calls ``context.trial`` needs ``machine`` and ``targets``.
        """
        return ()

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return a changed copy of ``model``; the argument stays as it was.

        Raises:
            PassError: when the pass would be a no-op or cannot be done, with the reason.
        """
        raise NotImplementedError
