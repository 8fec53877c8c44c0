"""A network with factors in the places of some of its layers, and the edit that describes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgekit import counts
from edgekit.errors import InputError
from edgekit.factorization import factors

if TYPE_CHECKING:
    from torch import nn

    from edgekit.factorization.ranks import Choice, Options
    from edgekit.model import Model
    from edgekit.passes.base import Context


def edit_of(every: list[Options], chosen: dict[str, Choice]) -> dict[str, Any]:
    """The edit that describes these ranks; see ``passes.structural``."""
    methods = {one.candidate.name: one.candidate.method for one in every}
    layers = {name: {"method": methods[name], "ranks": list(choice.ranks)} for name, choice in chosen.items()}
    return {"kind": "factorize", "layers": layers}


def factorized(
    model: Model, every: list[Options], chosen: dict[str, Choice], context: Context
) -> tuple[Model, dict[str, Any]]:
    """A copy of ``model`` with factors for the layers ``chosen``, and the figures of each.

    Returns:
        The model, and for each layer: method, ranks, share of the energy kept and relative error of its weight,
        MACs and parameters before and after.
    """
    copied = model.copy()
    edit = edit_of(every, chosen)
    macs_before = {one.candidate.name: one.macs_before for one in every}
    figures: dict[str, Any] = {}
    for index, (name, choice) in enumerate(chosen.items()):
        context.progress(0.8 + 0.2 * index / len(chosen), f"factorizing {name}")
        layer = copied.network.get_submodule(name)
        made, error = factors.filled(layer, choice.ranks)
        factors.put(copied.network, name, made)
        figures[name] = {
            **edit["layers"][name],
            "energy": 1 - error**2,
            "relative_error": error,
            "macs_before": macs_before[name],
            "macs_after": choice.macs,
            "parameters_before": counts.parameters(layer),
            "parameters_after": counts.parameters(made),
        }
    return replace(copied, network=copied.network.eval(), edits=(*model.edits, edit)), figures


def replace_layers(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """Put factors of the shapes that ``edit`` gives into ``network``, in place; their weights have no meaning.

    Raises:
        InputError: the edit does not fit the network.
    """
    try:
        for name, how in edit["layers"].items():
            layer = network.get_submodule(name)
            if how["method"] != factors.method_of(layer):
                raise ValueError(f"'{name}' cannot be factorized by {how['method']!r}")
            factors.put(network, name, factors.empty(layer, [int(rank) for rank in how["ranks"]]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the network cannot be factorized so: {error}", where="edits", remedy="the model was altered"
        ) from None
    return network
