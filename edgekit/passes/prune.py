"""Structured pruning: removes the channels, neurons and head dimensions that matter least.

Torch-Pruning's dependency graph says which slices belong together; every removal is then proved, see
``pruning.check``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit.passes.base import Context, Need, Outcome
from edgekit.passes.latency_budget import LatencyBudget
from edgekit.passes.structural import StructuralPass
from edgekit.training.recovery import Recovery

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model, Task


class Prune(StructuralPass):
    """Removes channels until one budget is met: ``ratio``, ``macs`` or ``latency``.

    The classifier's outputs and the image's channels are never touched. What cannot be cut safely is left as it
    is and listed with the reason. ``unstructured`` is another thing: zeros in weights whose sizes stay.
    """

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "the quantized ranges belong to the channels that would go; quantize last",
        "qat": "the trained ranges belong to the channels that would go; prune before",
        "fold_batchnorm": "recovery training without BatchNorm is unstable; prune first, then fold",
    }
    saves_compute: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/prune.py",
        "passes/latency_budget.py",
        "passes/layer_names.py",
        "pruning",
        "training",
        "passes/structural.py",
        "passes/reparameterize.py",
        "measure/trial.py",
        "model.py",
        "counts.py",
        "zoo",
    )

    kind: Literal["prune"] = "prune"
    ratio: float | None = Field(default=None, gt=0, lt=1, description="budget: share of the channels that go")
    macs: float | None = Field(
        default=None, gt=0, lt=1, description="budget: share of the multiply-adds that stays"
    )
    latency: LatencyBudget | None = Field(default=None, description="budget: p50 on a target, found by measuring")
    importance: Literal["l1", "l2", "bn_scale", "taylor", "random"] = Field(
        default="l2", description="taylor: from gradients on training images; random: the baseline"
    )
    scope: Literal["local", "global"] = Field(
        default="local", description="local: the same share of every layer; global: the least important of all"
    )
    round_to: int | None = Field(
        default=None, ge=1, le=256, description="channels stay a multiple of this; none: as the targets like it"
    )
    max_ratio: float = Field(default=0.9, gt=0, lt=1, description="largest share of one layer's channels that goes")
    exclude: tuple[str, ...] = Field(
        default=(), description="layers, or blocks of layers, whose outputs stay, by their name in the network"
    )
    keep_first: bool = Field(default=True, description="the channels that the first layer gives stay")
    steps: int = Field(
        default=1, ge=1, le=100, description="prune so often, a part each time, with recovery between"
    )
    recovery: Recovery | None = Field(default=None, description="training after each step; none: no training")
    unstructured: str | None = Field(
        default=None,
        description="N:M such as '2:4': zeros of each M weights; no speed unless the runtime uses them",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of 'random' and of the images for 'taylor'")

    @field_validator("unstructured")
    @classmethod
    def _n_to_m(cls, value: str | None) -> str | None:
        from edgekit.pruning.n_to_m import parse

        if value is not None:
            parse(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        budgets = [name for name in ("ratio", "macs", "latency") if getattr(self, name) is not None]
        if self.unstructured is not None:
            given = [*budgets, *(n for n in _STRUCTURED if n in self.model_fields_set)]
            if given:
                raise ValueError(f"'unstructured' removes no channels, so it goes without '{given[0]}'")
            return self
        if len(budgets) != 1:
            said = f"not {' and '.join(budgets)}" if budgets else "none is given"
            raise ValueError(f"give exactly one budget of 'ratio', 'macs' and 'latency' ({said})")
        if self.ratio is not None and self.ratio > self.max_ratio:
            raise ValueError(f"'ratio' {self.ratio:g} is above 'max_ratio' {self.max_ratio:g}; raise that as well")
        if self.steps > 1 and self.recovery is None:
            raise ValueError("'steps' without 'recovery' gives nothing over one step; add 'recovery'")
        return self

    def unfit(self, task: Task) -> str | None:
        """See ``PassConfig``: the settings of the recovery."""
        problem = self.recovery.unfit(task) if self.recovery is not None else None
        return problem and f"recovery: {problem}"

    def needs(self) -> tuple[Need, ...]:
        """See ``PassConfig``: the targets say what channels are rounded to."""
        return ("targets", "machine") if self.latency is not None else ("targets",)

    def apply(self, model: Model, context: Context) -> Outcome:
        """Prune a copy of ``model``.

        Raises:
            PassError: the network cannot be traced or nothing in it can be cut, the budget cannot be met, a
                layer or target is not known, or the recovery fails.
            MissingError, DeviceError: the target of ``latency`` cannot be measured here.
        """
        from edgekit.pruning import sparse, structured

        if self.unstructured is not None:
            return sparse.apply(self, model, context)
        return structured.apply(self, model, context)

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Give the layers the sizes that were saved; Torch-Pruning is not needed."""
        from edgekit.pruning import shapes

        shapes.apply(network, edit)
        return network


#: What only pruning of channels reads.
_STRUCTURED = ("importance", "scope", "round_to", "max_ratio", "steps", "seed")
