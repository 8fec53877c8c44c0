"""The passes that a recipe can name: one file each here, and one line each below."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from edgekit.passes.base import Context, Outcome, PassConfig, PassError
from edgekit.passes.distill import Distill
from edgekit.passes.factorize import Factorize
from edgekit.passes.finetune import Finetune
from edgekit.passes.fold_batchnorm import FoldBatchnorm
from edgekit.passes.prune import Prune
from edgekit.passes.prune_states import PruneStates
from edgekit.passes.qat import Qat
from edgekit.passes.quantize import Quantize
from edgekit.passes.reparameterize import Reparameterize

#: To add a pass: write its file, and add its class to this union.
AnyPass = Annotated[
    Finetune | Distill | Reparameterize | FoldBatchnorm | Prune | PruneStates | Factorize | Quantize | Qat,
    Field(discriminator="kind"),
]


def by_kind() -> dict[str, type[PassConfig]]:
    """The class of every pass under the name that recipes and saved models give it."""
    return {kind.model_fields["kind"].default: kind for kind in get_args(get_args(AnyPass)[0])}


__all__ = [
    "AnyPass",
    "Context",
    "Distill",
    "Factorize",
    "FoldBatchnorm",
    "Finetune",
    "Outcome",
    "PassConfig",
    "PassError",
    "Prune",
    "PruneStates",
    "Qat",
    "Quantize",
    "Reparameterize",
    "by_kind",
]
