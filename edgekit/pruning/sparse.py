"""The pass ``prune`` on single weights: N:M zeros, kept through recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.passes.base import Context, Outcome, PassError
from edgekit.passes.layer_names import named
from edgekit.pruning import layers, n_to_m
from edgekit.zoo import classifier

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.passes.prune import Prune


def apply(config: Prune, model: Model, context: Context) -> Outcome:
    """See ``passes.prune.Prune.apply``. The first layers (with ``keep_first``) and the classifier stay dense."""
    assert config.unstructured is not None  # the caller's choice
    keep, of = n_to_m.parse(config.unstructured)
    skip = named(model.network, config.exclude, "prune.exclude")
    skip |= frozenset(classifier.names(model.network, model.num_classes))
    if config.keep_first:
        skip |= layers.takes_image(model.network, model.input_size)
    found, left = n_to_m.masks(model.network, keep, of, skip)
    if not found:
        name, reason = next(iter(left.items()), ("network", "it has no convolution or linear layer"))
        raise PassError(
            f"no layer can have {config.unstructured} zeros; '{name}': {reason}",
            where="prune.unstructured",
            remedy="leave the pass out",
        )
    copied = model.copy()
    n_to_m.put(copied.network, found)
    changes: dict[str, Any] = {
        "unstructured": config.unstructured,
        "note": "sizes stay: no speed is expected unless the runtime uses the zeros",
        "layers": [name.removesuffix(".weight") for name in found],
        "zeros": sum(int((one == 0).sum()) for one in found.values()),
        "weights": sum(one.numel() for one in found.values()),
        "left": left,
    }
    if config.recovery is not None:
        from edgekit.training.recovery import recover

        changes["recovery"] = recover(
            copied,
            model,
            config.recovery,
            context,
            where="prune.recovery",
            after_step=lambda network: n_to_m.put(network, found),
        )
    context.progress(1.0, f"{changes['zeros']} of {changes['weights']} weights are zero")
    return Outcome(copied, changes)
