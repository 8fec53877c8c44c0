"""Cross-layer equalization: the channels of a layer get weights of like size, and the network computes the same.

One scale for a whole layer leaves few levels to a channel whose weights are much smaller than the largest ones. A
ReLU is positively homogeneous, relu(a x) = a relu(x) for a > 0, so a factor can be moved from an output channel of
one layer to the input channel of the next that reads it.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
section 4.1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.passes.base import PassError
from edgekit.quantization import placement, program

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    from edgekit.model import Model

#: Work on each element alone and are positively homogeneous.
_ELEMENTWISE = ("relu", "relu_", "dropout", "dropout_", "alias", "clone", "contiguous")
#: Take means or maxima within a channel. Their channels lie on axis 1.
_POOLS = tuple(
    f"{kind}_pool{rank}d" for kind in ("adaptive_avg", "adaptive_max", "avg", "max") for rank in (1, 2, 3)
)
_SWEEPS = 50
#: A sweep that scales no channel by more than this has settled.
_SETTLED = 1.001
#: The most that a channel is scaled by, all sweeps together: beyond it the bias of a nearly dead channel would
#: become the largest activation of its layer.
_SPAN = 2.0**10
#: Relative change of the logits that float32 rounding explains.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Pair:
    """Two layers, of which the second alone reads the first; names as in the network's ``state_dict``.

    Attributes:
        first: weight ``[C, ...]`` whose output channels are scaled.
        bias: its bias ``[C]``; none where it has none.
        second: weight ``[out, C / groups, ...]`` whose input channels are scaled.
        groups: of the second layer.
    """

    first: str
    bias: str | None
    second: str
    groups: int


def equalize(model: Model, images: torch.Tensor) -> tuple[Model, dict[str, Any]]:
    """A copy of a float model with equalized weights, and what was done.

    Args:
        model: with BatchNorm folded; a pair with BatchNorm between its layers is left as it is.
        images: inputs ``float32[n, C, *spatial]`` on which both must have the same logits.

    Raises:
        PassError: the logits changed by more than rounding does.
    """
    import torch

    found = pairs(model)
    if not found:
        return model, {"equalized": 0}
    with torch.no_grad():
        before = model.network(images)
    if not before.isfinite().all():
        return model, {"equalized": 0}  # calibration says where it begins
    made = model.copy()
    state = dict(made.network.named_parameters())
    names = {name for pair in found for name in (pair.first, pair.bias, pair.second) if name}
    exact = {name: state[name].detach().double() for name in names}
    _sweep(found, exact)
    with torch.no_grad():
        for name, value in exact.items():
            state[name].copy_(value)
        after = made.network(images)
    change = float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))
    if not change <= _ROUNDING:
        raise PassError(
            f"equalizing {len(found)} pairs of layers changed the logits by {change:.2g} of the largest, more than "
            f"rounding does ({_ROUNDING:g})",
            where="equalize",
            remedy="add 'equalize: false', or use 'weights: per_channel'",
        )
    return made, {"equalized": len(found), "equalized_logits_changed_by": change}


def pairs(model: Model) -> list[Pair]:
    """The pairs of layers that can be equalized, in the order of the first ones."""
    graph = program.float_graph(model)
    own = _scalable(model, graph)
    layers = placement.compute_nodes(graph)
    found = []
    for node in layers:
        weight, bias = _name(node, 1), _name(node, 2)
        second = _reader(node)
        if second not in layers or (bias is None and len(node.args) > 2 and node.args[2] is not None):
            continue  # no second layer, or a bias that is computed
        other = _name(second, 1)
        if {weight, bias or weight, other} <= own:
            found.append(Pair(str(weight), bias, str(other), _groups(second, model)))
    return found


def _sweep(found: list[Pair], weights: dict[str, torch.Tensor]) -> None:
    """Equalize one pair after the other, over and over, until the scales settle; in place."""
    import torch

    total = {pair.first: torch.ones(len(weights[pair.first]), dtype=torch.float64) for pair in found}
    for _ in range(_SWEEPS):
        largest = 1.0
        for pair in found:
            first, second = weights[pair.first], weights[pair.second]
            r1, r2 = output_ranges(first), input_ranges(second, pair.groups)
            wanted = torch.where((r1 > 0) & (r2 > 0), (r1 / r2.clamp(min=1e-300)).sqrt(), 1.0)
            scaled = (total[pair.first] * wanted).clamp(1 / _SPAN, _SPAN)
            s, total[pair.first] = scaled / total[pair.first], scaled
            weights[pair.first] = first / s.view(-1, *[1] * (first.ndim - 1))
            if pair.bias is not None:
                weights[pair.bias] = weights[pair.bias] / s
            weights[pair.second] = (_by_group(second, pair.groups) * _by_input(s, second, pair.groups)).view_as(
                second
            )
            largest = max(largest, float(s.max()), float(1 / s.min()))
        if largest < _SETTLED:
            return


def output_ranges(weight: torch.Tensor) -> torch.Tensor:
    """The largest absolute weight of each output channel, ``[C]``."""
    return weight.detach().abs().flatten(1).amax(1)


def input_ranges(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest absolute weight of each input channel, ``[C]``, of a weight ``[out, C / groups, ...]``."""
    return _by_group(weight.detach(), groups).abs().flatten(3).amax((1, 3)).flatten()


def _by_group(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """``[groups, out / groups, C / groups, ...]``, with at least one more axis."""
    return weight.reshape(groups, len(weight) // groups, weight.shape[1], *(weight.shape[2:] or (1,)))


def _by_input(s: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    """A factor of each input channel ``[C]``, to be multiplied with ``_by_group(weight, groups)``."""
    return s.view(groups, 1, weight.shape[1], *[1] * max(1, weight.ndim - 2))


def _scalable(model: Model, graph: GraphModule) -> set[str | None]:
    """Names of parameters that the graph reads once and that share their memory with no other."""
    every = dict(model.network.named_parameters(remove_duplicate=False))
    holders = Counter(one.data_ptr() for one in every.values())
    readers: Counter[str] = Counter()
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            readers[str(node.target)] += len(node.users)
    return {name for name, one in every.items() if holders[one.data_ptr()] == 1 and readers[name] == 1}


def _reader(node: Node) -> Node | None:
    """The one layer that reads the channels of a layer, each by itself; none if there is no such layer."""
    axis = _axis(node, node)
    while len(node.users) == 1:
        (after,) = node.users
        if placement.operator(after) in placement.COMPUTE:
            reads = after.args[0] is node and axis == _axis(after, node)
            return after if reads else None
        if not _keeps_channels(after, node, axis):
            return None
        node = after
    return None


def _keeps_channels(node: Node, source: Node, axis: int) -> bool:
    """Whether an operator is positively homogeneous and works within each channel of its input."""
    kind = placement.operator(node)
    if kind in _ELEMENTWISE:
        return True
    if axis != 1:
        return False
    before, after = source.meta["val"].shape, getattr(node.meta.get("val"), "shape", ())
    if kind in ("flatten", "view", "reshape"):
        return len(after) == 2 and before[:2] == after and before[2:].numel() == 1
    if kind == "mean":
        over: Any = node.args[1] if len(node.args) > 1 else None
        return bool(over) and {one % len(before) for one in over}.isdisjoint({0, 1})
    # Of one axis less, torch takes a tensor for a single image without a batch axis.
    return kind in _POOLS and len(before) == len(after) == int(kind[-2]) + 2


def _axis(layer: Node, tensor: Node) -> int:
    """On which axis of a tensor a layer has its channels."""
    return int(tensor.meta["val"].ndim) - 1 if placement.operator(layer) == "linear" else 1


def _name(node: Node, argument: int) -> str | None:
    """The name of a constant argument."""
    one: Any = node.args[argument] if len(node.args) > argument else None
    return str(one.target) if getattr(one, "op", "") == "get_attr" else None


def _groups(node: Node, model: Model) -> int:
    """Of a layer, from the channels that it reads and those that one of its outputs reads."""
    weight = model.network.get_parameter(str(_name(node, 1)))
    source: Any = node.args[0]
    return int(source.meta["val"].shape[_axis(node, source)]) // weight.shape[1]
