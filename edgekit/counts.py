"""Parameters and multiply-adds of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

#: What is counted, in words for readers of the figures.
CONVENTION = (
    "MACs of one image (1 MAC is 2 FLOPs), the sum of three: layers = convolution and linear layers, nearly all "
    "that thop and most papers count; products = matrix products outside of such layers (einsum, attention); "
    "scan = 9*L*D*S + L*D for each direction of a selective scan of L steps, D channels and S states, as VMamba "
    "counts. Not counted: biases, normalization, activations, pooling and other elementwise work."
)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one image; see ``CONVENTION``.

    Attributes:
        linear_and_convolution: inside ``nn.Linear`` and the convolution layers of ``torch.nn``.
        einsum_and_matmul: every other matrix product or convolution, whichever function computes it.
        scan: of the selective scans, the same whichever form of the scan runs.
    """

    linear_and_convolution: int
    einsum_and_matmul: int
    scan: int

    @property
    def total(self) -> int:
        """All three."""
        return self.linear_and_convolution + self.einsum_and_matmul + self.scan


def parameters(network: nn.Module) -> int:
    """Number of trainable weights, each tensor once; running statistics of BatchNorm are buffers, not counted."""
    return sum(one.numel() for one in network.parameters())


def macs(network: nn.Module, input_size: Shape) -> int:
    """Multiply-adds of one image in all; the arguments are those of ``breakdown``."""
    return breakdown(network, input_size).total


def breakdown(network: nn.Module, input_size: Shape) -> Macs:
    """Multiply-adds of one image, counted while the network runs; a network on the meta device computes nothing.

    Args:
        network: left in the mode, and with the statistics, that it had.
        input_size: (C, H, W), or (C, D, H, W) of a network for volumes.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    modes = [(module, module.training) for module in network.modules()]
    # PyTorch's counter cannot follow a layer that is given a view of a parameter which may have a gradient.
    trained = [one for one in network.parameters() if one.requires_grad]
    first = next(iter(network.parameters()), None)
    image = torch.zeros(1, *input_size, device=first.device if first is not None else "cpu")
    counter = FlopCounterMode(display=False, custom_mapping=_formulas())
    network.eval()
    try:
        for one in trained:
            one.requires_grad_(False)
        with (
            torch.no_grad(),
            _composite_attention(),
            _scans(network) as scanned,
            counter,
            _layers(network, counter) as in_layers,
        ):
            network(image)
    finally:
        for one in trained:
            one.requires_grad_(True)
        for module, training in modes:
            module.training = training
    layers, products = sum(in_layers) // 2, counter.get_total_flops() // 2
    return Macs(layers, products - layers, sum(scanned))


@contextmanager
def _layers(network: nn.Module, counter: Any) -> Iterator[list[int]]:
    """Collects the FLOPs spent inside convolution and linear layers; one inside another counts once."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    spent: list[int] = []
    entered: list[int] = []

    def enter(layer: nn.Module, given: Any) -> None:
        entered.append(counter.get_total_flops())

    def leave(layer: nn.Module, given: Any, gave: Any) -> None:
        before = entered.pop()
        if not entered:
            spent.append(counter.get_total_flops() - before)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for module in network.modules():
        if isinstance(module, (nn.Linear, _ConvNd)):
            handles += module.register_forward_pre_hook(enter), module.register_forward_hook(leave)
    try:
        yield spent
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _scans(network: nn.Module) -> Iterator[list[int]]:
    """Collects the MACs of the selective scans, which a stand-in of the same result shape takes the place of.

    A scan's forms (a loop, chunks with matrix products, a fused kernel) do different work for the same result:
    what is counted is the recurrence.
    """
    import torch

    from edgekit.zoo.state_space import SelectiveScan

    counted: list[int] = []

    def stand_in(
        u: torch.Tensor,
        dt: torch.Tensor,
        A: torch.Tensor,  # noqa: N803  (the names of the scan's own arguments)
        B: torch.Tensor,  # noqa: N803
        C: torch.Tensor,  # noqa: N803
        skip: torch.Tensor,
    ) -> torch.Tensor:
        states = A.shape[-1]
        counted.append(dt.numel() * (9 * states + 1))
        return torch.zeros_like(u, dtype=torch.float32)

    scans = [module for module in network.modules() if isinstance(module, SelectiveScan)]
    for scan in scans:
        scan.__dict__["forward"] = stand_in
    try:
        yield counted
    finally:
        for scan in scans:
            scan.__dict__.pop("forward", None)


@contextmanager
def _composite_attention() -> Iterator[None]:
    """``nn.MultiheadAttention`` as the products that it is: its fused form in eval mode counts as nothing."""
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _formulas() -> dict[Any, Callable[..., int]]:
    """FLOPs, from shapes, of operators that PyTorch's counter takes for nothing."""
    import torch

    aten = torch.ops.aten
    return {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
        aten.mkldnn_rnn_layer: _lstm_flops,
        aten._trilinear: _bilinear_flops,
        aten.mv: lambda matrix, vector, **_: 2 * math.prod(matrix),
        aten.addmv: lambda bias, matrix, vector, **_: 2 * math.prod(matrix),
        aten.dot: lambda one, other, **_: 2 * math.prod(one),
        aten.addbmm: lambda bias, one, other, **_: 2 * math.prod(one) * other[-1],
    }


def _attention_flops(query: Shape, key: Shape, value: Shape, *rest: Any, **options: Any) -> int:
    """Of Q K^T and of its product with V, from shapes ``[batch, heads, tokens, channels]``."""
    batch, heads, tokens, channels = query
    return 2 * batch * heads * tokens * key[-2] * (channels + value[-1])


def _lstm_flops(inputs: Shape, weight_input: Shape, weight_hidden: Shape, *rest: Any, **options: Any) -> int:
    """Of one layer in one direction over ``[steps, batch, channels]``: both matrices at each step."""
    return 2 * inputs[0] * inputs[1] * (math.prod(weight_input) + math.prod(weight_hidden))


def _bilinear_flops(one: Shape, weight: Shape, other: Shape, *rest: Any, **options: Any) -> int:
    """Of ``nn.Bilinear``, x1 W x2 with W ``[out, in1, in2]`` on ``[rows, in]``: x1 W first, then its rows by x2."""
    out, _, in_other = weight[-3:]
    return 2 * one[0] * (math.prod(weight[-3:]) + out * in_other)
