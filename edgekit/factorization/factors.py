"""The layers that take the place of one: of the right shapes, filled with the decomposition of its weight."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgekit.factorization import decompositions

if TYPE_CHECKING:
    from torch import Tensor, nn

Method = Literal["svd", "tucker2"]


def method_of(layer: nn.Module) -> Method | None:
    """How ``layer`` is factorized: ``svd`` (linear, 1x1), ``tucker2`` (k x k); none where edgekit does not.

    A subclass may do more than convolve (pad, standardize its weight), so only PyTorch's own classes count.
    """
    from torch import nn

    if type(layer) is nn.Linear:
        return "svd"
    if type(layer) is nn.Conv2d and layer.groups == 1:
        return "svd" if layer.kernel_size == (1, 1) else "tucker2"
    return None


def empty(layer: nn.Module, ranks: Sequence[int]) -> nn.Sequential:
    """The factors of ``layer``, with weights of no meaning.

    ``svd``, ranks (r): ``reduce`` (with the stride and padding of a 1x1 convolution, without bias), ``expand``.
    ``tucker2``, ranks (r_in, r_out): ``reduce`` 1x1, ``core`` k x k (with stride, padding and dilation),
    ``expand`` 1x1. Where a rank is full its 1x1 is left out: the core does its part. The bias is on the last.

    Raises:
        ValueError: the layer cannot be factorized, or the ranks do not fit its shape.
    """
    from torch import nn

    method = method_of(layer)
    limits = full_ranks(layer)
    if len(ranks) != len(limits) or not all(1 <= r <= most for r, most in zip(ranks, limits, strict=True)):
        raise ValueError(f"ranks {list(ranks)} for a layer whose full ranks are {list(limits)}")
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        linears = {
            "reduce": nn.Linear(layer.in_features, ranks[0], bias=False),
            "expand": nn.Linear(ranks[0], layer.out_features, bias=bias),
        }
        return _like(layer, linears)
    assert isinstance(layer, nn.Conv2d)
    place: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "padding_mode": layer.padding_mode}
    if method == "svd":
        pair = {
            "reduce": nn.Conv2d(layer.in_channels, ranks[0], 1, **place, bias=False),
            "expand": nn.Conv2d(ranks[0], layer.out_channels, 1, bias=bias),
        }
        return _like(layer, pair)
    into, out = ranks
    expands = out < layer.out_channels
    place |= {"dilation": layer.dilation, "bias": bias and not expands}
    parts = {"core": nn.Conv2d(into, out, layer.kernel_size, **place)}  # type: ignore[arg-type]
    if into < layer.in_channels:
        parts = {"reduce": nn.Conv2d(layer.in_channels, into, 1, bias=False), **parts}
    if expands:
        parts["expand"] = nn.Conv2d(out, layer.out_channels, 1, bias=bias)
    return _like(layer, parts)


def filled(layer: nn.Module, ranks: Sequence[int]) -> tuple[nn.Sequential, float]:
    """The factors of ``layer`` with its decomposed weight and its bias.

    Returns:
        The layers, and the relative error of the weight that they amount to, in the Frobenius norm.
    """
    import torch

    factors = empty(layer, ranks)
    whole: Any = layer
    weight: Tensor = whole.weight.detach().double()
    parts: dict[str, Tensor]
    if method_of(layer) == "svd":
        reduce, expand = decompositions.svd(weight.flatten(1), ranks[0])
        parts = {"reduce": reduce, "expand": expand}
    else:
        reduce, core, expand = decompositions.tucker2(weight, (ranks[0], ranks[1]))
        if not hasattr(factors, "reduce"):
            core = torch.einsum("abyx,bi->aiyx", core, reduce)
        if not hasattr(factors, "expand"):
            core = torch.einsum("oa,abyx->obyx", expand, core)
        parts = {"reduce": reduce, "core": core, "expand": expand}
    with torch.no_grad():
        for name, part in factors.named_children():
            own: Any = part.weight
            own.copy_(parts[name].reshape(own.shape))
        if whole.bias is not None:
            last: Any = factors[-1]
            last.bias.copy_(whole.bias)
    error = (product(factors) - weight.reshape(*weight.shape[:2], -1)).norm() / weight.norm()
    return factors, float(error)


def product(factors: nn.Sequential) -> Tensor:
    """The weight that ``factors`` amount to, ``float64[out, in, kernel positions]``."""
    import torch

    parts: list[Any] = list(factors)
    weights = [one.weight.detach().double() for one in parts]
    made, *rest = (one.reshape(*one.shape[:2], -1) for one in weights)
    for one in rest:
        # All but one of the factors have a single position.
        made = torch.einsum("oak,aip->oikp", one, made).flatten(2)
    result: Tensor = made
    return result


def full_ranks(layer: nn.Module) -> tuple[int, ...]:
    """The ranks at which the factors of ``layer`` can be exact, in the order in which ``empty`` takes them.

    Raises:
        ValueError: the layer cannot be factorized.
    """
    method = method_of(layer)
    if method is None:
        raise ValueError(f"a {type(layer).__name__} of this kind cannot be factorized")
    whole: Any = layer
    out, into, *kernel = whole.weight.shape
    if method == "svd":
        return (min(out, into),)
    positions = kernel[0] * kernel[1]
    return min(into, out * positions), min(out, into * positions)


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Set ``module`` in the place of the part ``name`` of ``network``."""
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)


def _like(layer: nn.Module, parts: dict[str, Any]) -> nn.Sequential:
    from torch import nn

    weight: Tensor = layer.weight  # type: ignore[assignment]
    return nn.Sequential(OrderedDict(parts)).to(weight.device, weight.dtype).train(layer.training)
