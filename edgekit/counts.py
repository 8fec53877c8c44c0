"""Parameters and multiply-adds of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def parameters(network: nn.Module) -> int:
    """Number of trainable weights, each tensor once; running statistics of BatchNorm are buffers, not counted."""
    return sum(one.numel() for one in network.parameters())


def macs(network: nn.Module, input_size: tuple[int, int, int]) -> int:
    """Multiply-adds (MACs; 1 MAC is 2 FLOPs) of one image, counted while the network runs.

    Counted: every convolution (transposed too) and every matrix product, whichever way it is called: linear
    layers, ``matmul``, ``einsum``, batched products, and the two products inside scaled dot-product attention.
    Not counted: biases, normalization, activations, pooling, additions, elementwise products and softmax.

    Args:
        network: left in the mode, and with the statistics, that it had.
        input_size: (C, H, W).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    modes = [(module, module.training) for module in network.modules()]
    first = next(iter(network.parameters()), None)
    image = torch.zeros(1, *input_size, device=first.device if first is not None else "cpu")
    # PyTorch's counter has no formula for the attention kernel that CPUs use.
    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={on_cpu: _attention_flops})
    network.eval()
    try:
        with torch.no_grad(), counter:
            network(image)
    finally:
        for module, training in modes:
            module.training = training
    return int(counter.get_total_flops()) // 2


def _attention_flops(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *rest: Any, **options: Any
) -> int:
    """FLOPs of Q K^T and of its product with V, from shapes ``[batch, heads, tokens, channels]``."""
    batch, heads, tokens, channels = query
    return 2 * batch * heads * tokens * key[-2] * (channels + value[-1])
