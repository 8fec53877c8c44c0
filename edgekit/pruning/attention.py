"""Dimensions of attention heads as groups that can be pruned.

For modules with one joint projection ``qkv`` of C to 3 * heads * d features, in that order, and a projection
``proj`` back, as timm's vision transformers have them. Every head keeps d' of its d dimensions. Which ones is
free for each head, and for queries with keys apart from values: only the number must agree. So unit r holds, of
each head, its r-th least important query-key dimension and its r-th least important value dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.pruning.groups import Group, Member

if TYPE_CHECKING:
    from torch import nn

    from edgekit.pruning.importance import Scorer


def joint_projections(network: nn.Module) -> dict[str, nn.Module]:
    """The attention modules of this form, by name."""
    return {name: module for name, module in network.named_modules() if _fits(module)}


def inner_layers(network: nn.Module) -> frozenset[str]:
    """Layers inside attention modules of any other form, but for the projection back.

    Their channels are read by head and by position, through reshapes that Torch-Pruning can take hours to follow.
    """
    from edgekit.passes.layer_names import weighted

    known = joint_projections(network)
    found = set()
    for name, module in network.named_modules():
        if name and name not in known and "attention" in type(module).__name__.lower():
            inside = [layer for layer in weighted(network) if layer.startswith(f"{name}.")]
            found |= {layer for layer in inside if not layer.removeprefix(f"{name}.").startswith(("proj", "out"))}
    return frozenset(found)


def _fits(module: Any) -> bool:
    from torch import nn

    qkv, proj = getattr(module, "qkv", None), getattr(module, "proj", None)
    heads, width = getattr(module, "num_heads", None), getattr(module, "head_dim", None)
    if not isinstance(qkv, nn.Linear) or not isinstance(proj, nn.Linear):
        return False
    if not isinstance(heads, int) or not isinstance(width, int):
        return False
    if qkv.out_features != 3 * heads * width or proj.in_features != heads * width:
        return False
    # What normalizes or gates the heads would have to be cut as well.
    extras = [getattr(module, name, None) for name in ("q_norm", "k_norm", "norm", "gate")]
    return all(one is None or isinstance(one, nn.Identity) for one in extras)


def group(name: str, module: Any, scorer: Scorer) -> Group | None:
    """The group of the attention called ``name``; none where ``scorer`` says nothing about its rows.

    Args:
        name: of the module.
        module: one of ``joint_projections``.
        scorer: for the rows of ``qkv`` and the columns of ``proj``.
    """
    import torch

    heads, width = module.num_heads, module.head_dim
    rows = scorer.channels(Member(f"{name}.qkv", "out", 0, ()))
    if rows is None:
        return None
    columns = scorer.channels(Member(f"{name}.proj", "in", 0, ()))
    if columns is None:  # Taylor counts a channel where it is given
        columns = torch.zeros(heads * width)
    query, key, value = rows.reshape(3, heads, width)
    by_query = (query + key).argsort(dim=1, stable=True).tolist()
    by_value = (value + columns.reshape(heads, width)).argsort(dim=1, stable=True).tolist()
    total = heads * width
    cut, read = [], []
    for rank in range(width):
        q = [head * width + by_query[head][rank] for head in range(heads)]
        v = [head * width + by_value[head][rank] for head in range(heads)]
        cut.append((*q, *(total + i for i in q), *(2 * total + i for i in v)))
        read.append(tuple(v))
    members = (Member(f"{name}.qkv", "out", 0, tuple(cut)), Member(f"{name}.proj", "in", 0, tuple(read)))
    return Group(f"{name}.qkv", members, width=heads, attention=name)


def narrow(module: Any, width: int) -> None:
    """Tell ``module``, whose projections have been cut, that its heads have ``width`` dimensions now.

    Attention divides Q K^T by sqrt(d). With d' for d the products would grow by sqrt(d / d'), so the queries are
    scaled by sqrt(d' / d): what is left of Q K^T stays as it was.
    """
    import torch

    before = module.head_dim
    rows = module.num_heads * width
    with torch.no_grad():
        module.qkv.weight[:rows] *= (width / before) ** 0.5
        if module.qkv.bias is not None:
            module.qkv.bias[:rows] *= (width / before) ** 0.5
    module.head_dim = width
    if isinstance(getattr(module, "attn_dim", None), int):
        module.attn_dim = rows
    if isinstance(getattr(module, "scale", None), float):
        module.scale = width**-0.5
