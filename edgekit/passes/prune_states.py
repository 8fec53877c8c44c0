"""Removes the states of selective scans that matter least, as their time grows with the number of states.

The scans of Mamba and VMamba have 16 states a channel (Gu and Dao 2023; Liu et al. 2024). Which of them carry the
output is measured on training images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from edgekit.passes.base import Context, Outcome, PassError
from edgekit.passes.layer_names import named
from edgekit.passes.structural import StructuralPass
from edgekit.training.recovery import Recovery

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model


class PruneStates(StructuralPass):
    """Keeps ``states`` states of every scan, in each direction those that add most to its output."""

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "the quantized ranges belong to the scans as they were; quantize last",
        "qat": "the trained ranges belong to the scans as they were; prune before",
    }
    saves_compute: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/prune_states.py",
        "passes/layer_names.py",
        "passes/structural.py",
        "pruning/states.py",
        "pruning/shapes.py",
        "training",
        "model.py",
        "zoo",
    )

    kind: Literal["prune_states"] = "prune_states"
    states: int = Field(ge=1, le=256, description="how many stay; scans that have no more are left as they are")
    importance: Literal["energy", "random"] = Field(
        default="energy", description="energy: mean square of what a state adds; random: the baseline"
    )
    images: int = Field(default=64, ge=1, le=100_000, description="training images that the energy is measured on")
    exclude: tuple[str, ...] = Field(default=(), description="layers, or blocks of layers, whose states all stay")
    recovery: Recovery | None = Field(default=None, description="training afterwards; none: no training")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of 'random' and of the draw of the images")

    def apply(self, model: Model, context: Context) -> Outcome:
        """Take the states from a copy of ``model``.

        Raises:
            PassError: the network has no scan, or none with more states; or the recovery fails.
        """
        from edgekit.pruning import shapes, states

        has = states.layers(model.network)
        if not has:
            raise PassError(
                f"'{model.architecture}' has no selective scan",
                where=self.kind,
                remedy="leave the pass out; it is for networks of the Mamba kind",
            )
        inside = named(model.network, self.exclude, "prune_states.exclude")
        excluded = {name for name in has if any(layer.startswith(f"{name}.") for layer in inside)}
        chosen = {name: count for name, count in has.items() if count > self.states and name not in excluded}
        if not chosen:
            raise PassError(
                f"no state would go: the scans have {', '.join(map(str, sorted(set(has.values()))))} states",
                where="prune_states.states",
                remedy=f"ask for fewer than {max(has.values())}, or exclude less",
            )
        scores = self._scores(model, context)
        kept = {name: states.best(scores[name], self.states) for name in chosen}
        after = replace(model, network=states.without(model.network, kept))
        changes: dict[str, Any] = {
            "importance": self.importance,
            "images": self.images,
            "states": {name: [count, self.states if name in kept else count] for name, count in has.items()},
            "kept": {name: one.tolist() for name, one in kept.items()},
            "share_of_energy_kept": {
                name: float(np.take_along_axis(scores[name], one, 1).sum() / max(scores[name].sum(), 1e-300))
                for name, one in kept.items()
            }
            if self.importance == "energy"
            else None,
        }
        if self.recovery is not None:
            from edgekit.training.recovery import recover

            changes["recovery"] = recover(after, model, self.recovery, context, where="prune_states.recovery")
        edit = {"kind": self.kind, **shapes.difference(model.network, after.network)}
        return Outcome(replace(after, edits=(*model.edits, edit)), changes)

    def _scores(self, model: Model, context: Context) -> dict[str, Any]:
        """``[directions, states]`` for each layer; the higher, the more it matters."""
        from edgekit.pruning import states

        rng = np.random.default_rng(self.seed)
        count = context.data.count("train")
        images = np.sort(rng.permutation(count)[: self.images])
        inputs = context.data.inputs("train", images)
        found = states.energy(model.network, inputs, model.at_once)
        if self.importance == "random":
            return {name: rng.random(one.shape) for name, one in found.items()}
        return found

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Give the scans the sizes that were saved."""
        from edgekit.pruning import shapes

        shapes.apply(network, edit)
        return network
