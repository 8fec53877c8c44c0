"""Low-rank factorization of linear layers and convolutions; a layer for which it does not pay stays as it is.

SVD for linear layers and 1x1 convolutions (Denton et al., NeurIPS 2014), Tucker-2 for k x k convolutions (Kim et
al., ICLR 2016).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgekit.passes.base import Context, Need, Outcome, PassError
from edgekit.passes.latency_budget import LatencyBudget
from edgekit.passes.structural import StructuralPass
from edgekit.training.recovery import Recovery

if TYPE_CHECKING:
    from torch import nn

    from edgekit.factorization.ranks import Choice, Options
    from edgekit.model import Model, Task

#: What ranks are rounded to where no target says what its vector units like.
_MULTIPLE = 8


class Factorize(StructuralPass):
    """Replaces layers by two or three thinner ones, with ranks by energy, by a ratio, by MACs or by latency."""

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "the quantized ranges belong to the whole layers; factorize first",
        "qat": "the trained ranges belong to the whole layers; factorize first",
        "factorize": "the factors would be factorized again; ask for the ranks at once",
    }
    saves_compute: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/factorize.py",
        "passes/latency_budget.py",
        "passes/layer_names.py",
        "passes/structural.py",
        "factorization",
        "training",
        "measure/trial.py",
        "model.py",
        "counts.py",
        "zoo",
    )

    kind: Literal["factorize"] = "factorize"
    energy: float | None = Field(
        default=None, gt=0, lt=1, description="share of its squared singular values that each layer keeps"
    )
    ratio: float | None = Field(
        default=None, gt=0, lt=1, description="share of a layer's MACs that its factors may cost"
    )
    macs: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the model's MACs that may be left; one energy for all",
    )
    latency: LatencyBudget | None = Field(default=None, description="searched by measuring; one energy for all")
    exclude: tuple[str, ...] = Field(
        default=(), description="layers, or modules with all their layers, that stay as they are"
    )
    recovery: Recovery | None = Field(default=None, description="training afterwards")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        given = [name for name in ("energy", "ratio", "macs", "latency") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of 'energy', 'ratio', 'macs' and 'latency', not {' and '.join(given) or 'none'}"
            )
        return self

    def unfit(self, task: Task) -> str | None:
        """See ``PassConfig``: the settings of the recovery."""
        problem = self.recovery.unfit(task) if self.recovery is not None else None
        return problem and f"recovery: {problem}"

    def needs(self) -> tuple[Need, ...]:
        """See ``PassConfig``: the targets say what ranks are rounded to."""
        return ("targets", "machine") if self.latency is not None else ("targets",)

    def apply(self, model: Model, context: Context) -> Outcome:
        """Factorize a copy of ``model``, and train it afterwards where ``recovery`` asks for it.

        Raises:
            PassError: an unknown layer or target, weights that are not finite, a budget that cannot be met, no
                layer for which it pays, or a training that fails.
            MissingError, DeviceError: the latency cannot be measured here.
        """
        import torch

        from edgekit import counts
        from edgekit.factorization import candidates, ranks
        from edgekit.factorization.network import factorized
        from edgekit.factorization.replaceable import example

        _check_finite(model)
        found, left = candidates.survey(model, self.exclude)
        multiple = max((one.channels_multiple_of for one in context.targets.values()), default=_MULTIPLE)
        every = []
        for index, one in enumerate(found):
            context.progress(0.3 * index / len(found), f"singular values of {one.name}")
            every.append(ranks.options(one, model.network.get_parameter(f"{one.name}.weight"), multiple))
        total = counts.macs(model.network, model.input_size)
        how: dict[str, Any] = {}
        if self.ratio is not None:
            chosen, unpaid = ranks.for_ratio(every, self.ratio)
        else:
            energy, how = self._energy(every, total, model, context)
            chosen, unpaid = ranks.for_energy(every, energy)
        left |= unpaid
        if not chosen:
            raise _nothing(left)
        after, layers = factorized(model, every, chosen, context)
        with torch.no_grad():
            given = after.network(example(model.input_size))
        if tuple(given.shape) != (1, *model.output_size) or not bool(given.isfinite().all()):
            raise PassError(
                f"the factorized network gives {list(given.shape)}, or numbers that are not finite",
                where="factorize",
                remedy="check the weights, or leave the pass out for this network",
            )
        changes: dict[str, Any] = {
            "factorized": len(chosen),
            "rank_multiple_of": multiple,
            **how,
            "layers": layers,
            "left": left,
        }
        context.progress(1.0, f"factorized {len(chosen)} layers, {len(left)} left")
        if self.recovery is not None:
            from edgekit.training.recovery import recover

            changes["recovery"] = recover(after, model, self.recovery, context, where="factorize.recovery")
        return Outcome(after, changes)

    def _energy(
        self, every: list[Options], total: int, model: Model, context: Context
    ) -> tuple[float, dict[str, Any]]:
        """The energy that all layers keep, and how it was found."""
        from edgekit.factorization import network, search

        if self.energy is not None:
            return self.energy, {}
        if self.latency is not None:

            def build(chosen: dict[str, Choice]) -> Model:
                copied = model.copy()
                replaced = network.replace_layers(copied.network, network.edit_of(every, chosen))
                return replace(copied, network=replaced)

            found, tried = search.energy_for_latency(every, total, model, build, self.latency, context)
            return found, {"energy_threshold": found, "trials": tried}
        assert self.macs is not None
        energy = search.energy_for_macs(every, total, self.macs * total)
        if energy is None:
            raise PassError(
                f"{self.macs:g} of the MACs cannot be reached: with the lowest allowed rank in every layer "
                f"{search.least_macs(every, total) / total:.3f} are left",
                where="factorize.macs",
                remedy="allow more, exclude fewer layers, or prune",
            )
        return energy, {"energy_threshold": energy}

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Put factors of the same shapes in the same places; the saved weights are loaded into them."""
        from edgekit.factorization.network import replace_layers

        return replace_layers(network, edit)


def _check_finite(model: Model) -> None:
    for name, weight in model.network.named_parameters():
        if not bool(weight.isfinite().all()):
            raise PassError(
                f"'{name}' holds numbers that are not finite",
                where="factorize",
                remedy="check the weights and the training before",
            )


def _nothing(left: dict[str, str]) -> PassError:
    # A layer that was weighed and found not to pay tells more than one that is never factorized.
    ordered = sorted(left.items(), key=lambda one: not one[1].startswith("it does not pay"))
    said = f", such as '{ordered[0][0]}': {ordered[0][1]}" if ordered else ""
    return PassError(
        f"none of the {len(left)} layers can be factorized with gain{said}",
        where="factorize",
        remedy="ask for less energy or a lower ratio, or leave the pass out",
    )
