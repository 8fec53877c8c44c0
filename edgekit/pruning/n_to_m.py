"""N:M sparsity: of each M weights in a row along a layer's inputs, the N largest stay and the others become 0.

The form that sparse tensor cores take (Mishra et al., 2021). Sizes stay, so only a runtime that uses the zeros
can be faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def parse(text: str) -> tuple[int, int]:
    """``"2:4"`` as (2, 4).

    Raises:
        ValueError: it is no N:M with 0 < N < M.
    """
    parts = text.split(":")
    if len(parts) == 2 and all(part.isdigit() for part in parts):
        keep, of = int(parts[0]), int(parts[1])
        if 0 < keep < of <= 32:
            return keep, of
    raise ValueError(f"'{text}' is no N:M with 0 < N < M <= 32, such as '2:4'")


def masks(network: nn.Module, keep: int, of: int, skip: frozenset[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Masks of 0 and 1 by the name of the weight, and the layers that have none, with the reason.

    Args:
        network: its convolutions and linear layers are looked at.
        keep: N.
        of: M.
        skip: names of layers that stay dense.
    """
    from torch import nn

    found: dict[str, Tensor] = {}
    left: dict[str, str] = {}
    for name, layer in network.named_modules():
        if not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            continue
        if name in skip:
            left[name] = "excluded"
        elif layer.weight.shape[1] % of:
            left[name] = f"its {layer.weight.shape[1]} inputs are no multiple of {of}"
        else:
            found[f"{name}.weight"] = mask(layer.weight.detach(), keep, of)
    return found, left


def mask(weight: Tensor, keep: int, of: int) -> Tensor:
    """1 for the ``keep`` largest of each ``of`` neighbours along dimension 1 of ``[out, in, ...]``, else 0."""
    import torch

    last = weight.movedim(1, -1)
    blocks = last.reshape(*last.shape[:-1], -1, of)
    largest = blocks.abs().topk(keep, dim=-1).indices
    kept = torch.zeros_like(blocks).scatter(-1, largest, 1.0)
    return kept.reshape(last.shape).movedim(-1, 1).contiguous()


def put(network: nn.Module, found: dict[str, Tensor]) -> None:
    """Set the masked weights of ``network`` to 0, in place."""
    import torch

    with torch.no_grad():
        for name, one in found.items():
            network.get_parameter(name).mul_(one)
