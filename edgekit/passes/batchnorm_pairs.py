"""Finds the BatchNorm layers that can be folded, by watching the network's operators while it runs once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def find(network: nn.Module, input_size: tuple[int, ...]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The pairs that fold, and the BatchNorm layers that do not.

    Args:
        network: in eval mode; it is run once, on one image of zeros.
        input_size: (C, *spatial).

    Returns:
        ``(layer, norm)`` names in the order of execution, and the names of the others, each with the reason.
    """
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    foldable = (
        nn.Conv1d,
        nn.Conv2d,
        nn.Conv3d,
        nn.ConvTranspose1d,
        nn.ConvTranspose2d,
        nn.ConvTranspose3d,
        nn.Linear,
    )
    layers = {m.weight.data_ptr(): n for n, m in network.named_modules() if isinstance(m, foldable)}
    norms = {n: m for n, m in network.named_modules() if isinstance(m, _BatchNorm)}
    by_mean = {m.running_mean.data_ptr(): n for n, m in norms.items() if m.running_mean is not None}
    aten = torch.ops.aten
    # Operator to the position of its weight (BatchNorm: of its running mean).
    products = {aten.convolution: 1, aten.addmm: 2, aten.mm: 1}
    normalizations = {aten.native_batch_norm: 3, aten._native_batch_norm_legit_no_training: 3}

    #: id of a layer's output -> [the tensor itself, which keeps the id taken; the layer; number of its readers]
    outputs: dict[int, list[Any]] = {}
    calls: dict[str, int] = {}
    inputs: dict[str, Tensor] = {}

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            for value in tree_leaves((args, kwargs)):
                if isinstance(value, torch.Tensor) and id(value) in outputs:
                    outputs[id(value)][2] += 1
            result = func(*args, **(kwargs or {}))
            operator = func.overloadpacket
            if operator in products:
                layer = layers.get(args[products[operator]].data_ptr())
                if layer is not None:
                    calls[layer] = calls.get(layer, 0) + 1
                    outputs[id(result)] = [result, layer, 0]
            elif operator in normalizations and args[normalizations[operator]] is not None:
                norm = by_mean.get(args[normalizations[operator]].data_ptr())
                if norm is not None:
                    calls[norm] = calls.get(norm, 0) + 1
                    inputs[norm] = args[0]
            return result

    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        network(torch.zeros(1, *input_size))

    pairs: list[tuple[str, str]] = []
    left: dict[str, str] = {}
    for name in [*inputs, *(n for n in norms if n not in inputs)]:
        source = outputs.get(id(inputs[name])) if name in inputs else None
        if norms[name].running_mean is None:
            left[name] = "it normalizes by the batch at hand, not by running statistics"
        elif name not in inputs:
            left[name] = "it did not run"
        elif calls[name] > 1:
            left[name] = "it is used more than once"
        elif not _is_known(norms[name]):
            left[name] = f"what {type(norms[name]).__name__} does besides normalizing is unknown"
        elif source is None:
            left[name] = "its input does not come straight from a convolution or linear layer"
        elif calls[source[1]] > 1:
            left[name] = f"the weight of '{source[1]}' is used more than once"
        elif source[2] > 1:
            left[name] = f"the output of '{source[1]}' is used elsewhere too"
        else:
            pairs.append((source[1], name))
    return pairs, left


def _is_known(norm: nn.Module) -> bool:
    """Whether the layer is a BatchNorm and nothing else, or timm's BatchNorm with an activation behind it."""
    from torch import nn

    if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm):
        return True
    return type(norm).__name__ in ("BatchNormAct2d", "SyncBatchNormAct") and type(norm).__module__.startswith(
        "timm."
    )
