"""Puts the tensors of a checkpoint into a network, by name or by order, and says exactly what did not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from edgekit.checkpoint import common_prefix
from edgekit.errors import InputError
from edgekit.zoo import classifier

if TYPE_CHECKING:
    from torch import Tensor, nn

#: BatchNorm's counter of training steps; the outputs do not depend on it, and old checkpoints lack it.
_COUNTER = "num_batches_tracked"
_SHOWN = 8
_WHERE = "model.weights"


def load_into(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    num_classes: int,
    match: Literal["name", "order"] = "name",
    replace_head: bool = False,
) -> dict[str, Any]:
    """Copy ``tensors`` into ``network``, all or none.

    Args:
        network: changed in place.
        tensors: as ``checkpoint.read`` gives them.
        num_classes: K, by which the classifier is found.
        match: ``name``: equal names; ``order``: the i-th tensor goes to the i-th entry of the state dict.
        replace_head: leave out the classifier where the checkpoint has another number of classes, or none.

    Returns:
        ``match``, ``matched`` (count), ``missing`` and ``left_out`` (names: initial values stay; not used).

    Raises:
        InputError: something is missing, unexpected or of another shape.
    """
    import torch

    own: dict[str, Tensor] = network.state_dict()
    heads = classifier.names(network, num_classes)
    head = {name for name in own if name.rpartition(".")[0] in heads}
    pairs = _by_name(own, tensors) if match == "name" else _by_order(own, tensors)
    other = {name: source for name, source in pairs.items() if not _fits(own[name], tensors[source])}
    missing = [name for name in own if name not in pairs and not name.endswith(_COUNTER)]
    unexpected = [name for name in tensors if name not in pairs.values() and not name.endswith(_COUNTER)]
    only_head = not unexpected and set(other) | set(missing) <= head
    classes = {int(tensors[source].shape[0]) for source in other.values() if tensors[source].ndim}
    if other and classes != {num_classes} and not missing and only_head and not replace_head:
        raise InputError(
            f"the checkpoint has {' and '.join(map(str, sorted(classes)))} classes, the recipe {num_classes} "
            f"('{next(iter(other))}')",
            where=_WHERE,
            remedy="to train a new classifier set 'replace_head: true' and add a 'finetune' pass",
        )
    if (other or missing or unexpected) and not (only_head and replace_head):
        lines = (
            _listed("missing in the checkpoint", missing)
            + _listed("not in the network", unexpected)
            + _listed(
                "of another shape or type",
                [f"{n} {_shape(own[n])}, checkpoint: {s} {_shape(tensors[s])}" for n, s in other.items()],
            )
        )
        raise InputError(
            f"{len(pairs) - len(other)} of the network's {len(own)} tensors match the checkpoint; "
            + "; ".join(lines),
            where=_WHERE,
            remedy=_remedy(own, tensors, match, head),
        )
    with torch.no_grad():
        for name, source in pairs.items():
            if name not in other:
                own[name].copy_(tensors[source])
    return {
        "match": match,
        "matched": len(pairs) - len(other),
        "missing": [*missing, *other],
        "left_out": list(other.values()),
    }


def _by_name(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    # 'read' took off prefixes that every name had, which may be ones of the network itself.
    prefix = common_prefix(list(own))
    return {name: name.removeprefix(prefix) for name in own if name.removeprefix(prefix) in tensors}


def _by_order(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    here, there = list(own), list(tensors)
    if not any(name.endswith(_COUNTER) for name in here) or not any(name.endswith(_COUNTER) for name in there):
        here = [name for name in here if not name.endswith(_COUNTER)]
        there = [name for name in there if not name.endswith(_COUNTER)]
    return dict(zip(here, there, strict=False))


def _fits(own: Tensor, given: Tensor) -> bool:
    return own.shape == given.shape and own.is_floating_point() == given.is_floating_point()


def _remedy(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], match: str, head: set[str]) -> str:
    pairs = _by_order(own, tensors)
    misfits = [name for name, source in pairs.items() if not _fits(own[name], tensors[source])]
    if match == "order":
        if misfits:
            first = misfits[0]
            return (
                f"first difference at position {list(pairs).index(first)}: network '{first}' {_shape(own[first])}, "
                f"checkpoint '{pairs[first]}' {_shape(tensors[pairs[first]])}; is it of this architecture?"
            )
        return f"the network needs {_weights(own)} tensors, the checkpoint has {_weights(tensors)}"
    if _weights(own) == _weights(tensors) and set(misfits) <= head:
        return "shapes agree in order: set 'match: order'"
    return "is it the checkpoint of this architecture, with these arguments?"


def _weights(tensors: Mapping[str, Tensor]) -> int:
    return sum(not name.endswith(_COUNTER) for name in tensors)


def _listed(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return []
    more = f", and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return [f"{len(entries)} {title}: {', '.join(entries[:_SHOWN])}{more}"]


def _shape(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{list(tensor.shape)}{kind}"
