"""Folds BatchNorm into the convolution or linear layer before it.

At inference BatchNorm is y = s x + t per channel, with s = weight / sqrt(running_var + eps) and
t = bias - s running_mean, so that BN(W x + b) = (s W) x + (s b + t): the layer alone gives the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgekit.errors import InputError
from edgekit.passes.base import Context, Outcome, PassError
from edgekit.passes.structural import StructuralPass

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model import Model


class FoldBatchnorm(StructuralPass):
    """Folds every BatchNorm whose input comes from one convolution or linear layer and from nowhere else.

    Which those are is seen in one run of the network, so how its code is written does not matter.
    """

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "the quantized ranges belong to the unfolded layers; quantize last",
        "qat": "the trained ranges belong to the unfolded layers; it folds what it can itself",
        "fold_batchnorm": "all that can fold is folded already",
    }
    keeps_outputs: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/fold_batchnorm.py",
        "passes/batchnorm_pairs.py",
        "passes/structural.py",
        "model.py",
        "counts.py",
        "zoo",
    )

    kind: Literal["fold_batchnorm"] = "fold_batchnorm"

    def apply(self, model: Model, context: Context) -> Outcome:
        """Fold in a copy of ``model``. A network without BatchNorm is returned as it is, with a note.

        Raises:
            PassError: the network holds BatchNorm, of which none can be folded.
        """
        from edgekit.passes.batchnorm_pairs import find

        copied = model.copy()
        pairs, left = find(copied.network, model.input_size)
        if not pairs and not left:
            merged = any(edit["kind"] == "reparameterize" for edit in model.edits)
            why = "reparameterization merged them all" if merged else "the network was built without"
            return Outcome(model, {"folded": 0, "note": f"no BatchNorm left: {why}"})
        if not pairs:
            name, reason = next(iter(left.items()))
            raise PassError(
                f"none of the {len(left)} BatchNorm layers can be folded; '{name}': {reason}",
                where="fold_batchnorm",
                remedy="leave the pass out",
            )
        for layer, norm in pairs:
            _fold(copied.network, layer, norm)
        edit = {"kind": self.kind, "pairs": [list(pair) for pair in pairs]}
        after = replace(copied, edits=(*model.edits, edit))
        changes = {
            "folded": len(pairs),
            "layers": [norm for _, norm in pairs],
            "left": left,
        }
        context.progress(1.0, f"folded {len(pairs)} BatchNorm layers, {len(left)} left")
        return Outcome(after, changes)

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Fold the same pairs again; the saved weights then take the place of the folded ones."""
        for layer, norm in edit.get("pairs", ()):
            try:
                _fold(network, layer, norm)
            except (AttributeError, TypeError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"'{norm}' cannot be folded into '{layer}': {error}",
                    where="edits",
                    remedy="the model was altered",
                ) from None
        return network


def _fold(network: nn.Module, layer_name: str, norm_name: str) -> None:
    """Fold the BatchNorm ``norm_name`` into the layer ``layer_name``, in place; its activation, if any, stays."""
    import torch
    from torch import nn

    layer: Any = network.get_submodule(layer_name)
    norm: Any = network.get_submodule(norm_name)
    with torch.no_grad():
        # In double precision, so that the only rounding is that of the result.
        mean, variance = norm.running_mean.double(), norm.running_var.double()
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -mean * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double()
        weight = layer.weight
        bias = shift if layer.bias is None else layer.bias.double() * scale + shift
        layer.weight = nn.Parameter(_scaled(layer, scale).to(weight.dtype))
        layer.bias = nn.Parameter(bias.to(weight.dtype))
    parent_name, _, own_name = norm_name.rpartition(".")
    setattr(network.get_submodule(parent_name), own_name, _rest(norm))


def _scaled(layer: Any, scale: Tensor) -> Tensor:
    """The layer's weight with every output channel multiplied by its ``scale`` (float64)."""
    from torch import nn

    weight: Tensor = layer.weight.double()
    if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        # [in, out / groups, ...]: output channel g * (out / groups) + j uses the rows of group g, column j.
        grouped = weight.view(layer.groups, -1, *weight.shape[1:])
        factors = scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))
        return (grouped * factors).flatten(0, 1)
    return weight * scale.view(-1, *[1] * (weight.ndim - 1))


def _rest(norm: nn.Module) -> nn.Module:
    """What a BatchNorm layer still does after its normalization is gone."""
    from torch import nn

    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    kept = [part for part in parts if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
    if not kept:
        return nn.Identity()
    return kept[0] if len(kept) == 1 else nn.Sequential(*kept)
