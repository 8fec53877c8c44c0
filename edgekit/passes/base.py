"""What a pass is: a frozen config that turns one model into another and says what it changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.errors import EdgekitError
from edgekit.schema import Frozen

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model


class PassError(EdgekitError):
    """A pass could not do its work on this model, or would have changed nothing."""


@dataclass(frozen=True)
class Context:
    """What a pass may use.

    Attributes:
        data: the prepared splits (``train`` and ``val``; a pass never reads ``test``).
        progress: called with the fraction done (0 to 1) and a short text.
        threads: CPU threads that it may use.
    """

    data: Prepared
    progress: Callable[[float, str], None] = lambda fraction, text: None
    threads: int = 1


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
        keeps_outputs: whether the logits should stay the same up to rounding; the pipeline checks it.
        sources: files and folders of edgekit whose code determines the result, relative to the package.
    """

    not_after: ClassVar[dict[str, str]] = {}
    trains: ClassVar[bool] = False
    keeps_outputs: ClassVar[bool] = False
    sources: ClassVar[tuple[str, ...]] = ()

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return a changed copy of ``model``; the argument stays as it was.

        Raises:
            PassError: when the pass would be a no-op or cannot be done, with the reason.
        """
        raise NotImplementedError
