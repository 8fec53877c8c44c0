"""Whether a pruned network can still merge its training-time branches."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from edgekit.passes.base import PassError
from edgekit.passes.reparameterize import merge

if TYPE_CHECKING:
    from torch import nn

#: Largest difference of logits to the largest logit that merging in float32 may make.
_TOLERANCE = 1e-3


def check_merging(before: nn.Module, pruned: nn.Module, input_size: tuple[int, ...]) -> None:
    """Merge the branches of a copy of ``pruned``, where ``before`` has some, and compare the logits.

    Raises:
        PassError: the branches of ``before`` merge, and those of ``pruned`` fail or give other logits.
    """
    import torch

    try:
        _, merged = merge(copy.deepcopy(before))
    except Exception:  # the network's own code; 'reparameterize' tells of it
        return
    if not merged:
        return
    images = torch.randn(2, *input_size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            expected = pruned(images)
            given = merge(copy.deepcopy(pruned))[0].eval()(images)
        gap = float((given - expected).abs().max() / expected.abs().max())
        problem = f"the logits change by {gap:.1e} of the largest" if not gap <= _TOLERANCE else None
    except Exception as error:  # the merging methods are the network's own code
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:
        raise PassError(
            f"the branches of the pruned network do not merge any more: {problem}",
            where="prune",
            remedy="put 'reparameterize' before 'prune'",
        )
