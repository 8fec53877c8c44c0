"""Group and instance normalization for the outputs that others are compared with: in float64.

PyTorch adds up the values of a group in float32, in an order that depends on the batch, the threads and the memory
layout. On images with flat parts, as medical ones have, one LightM-UNet of 256 x 256 was off by 2e-5 to 9e-4 of its
greatest logit in four such ways, and by 9e-7 with its normalizations in float64: files that were closer to the
network than it was to itself were rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_NORMS = (
    functional.group_norm,
    functional.instance_norm,
    torch.group_norm,
    torch.instance_norm,
    torch.ops.aten.group_norm.default,
    torch.ops.aten.instance_norm.default,
)


class ExactNorms(TorchFunctionMode):
    """Within it these normalizations of float32 are computed in float64, and give float32. Not for training."""

    def __torch_function__(  # noqa: D105
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        values = args[0] if args else named.get("input")
        if function not in _NORMS or not isinstance(values, Tensor) or values.dtype != torch.float32:
            return function(*args, **named)
        found: Tensor = function(*map(_wide, args), **{name: _wide(one) for name, one in named.items()})
        return found.float()


def _wide(one: Any) -> Any:
    return one.double() if isinstance(one, Tensor) and one.dtype == torch.float32 else one
