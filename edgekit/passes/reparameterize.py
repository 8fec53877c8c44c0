"""Structural re-parameterization: branches that exist for training only become the one layer they add up to.

RepVGG (Ding et al., 2021), MobileOne (Vasu et al., 2023), FastViT, RepViT, LeViT, GhostNet and others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgekit.errors import InputError
from edgekit.passes.base import Context, Outcome, PassError
from edgekit.passes.structural import StructuralPass

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model

#: What networks call the method that merges a module's branches, in the order in which timm looks for them.
METHODS = ("fuse", "reparameterize", "switch_to_deploy")


class Reparameterize(StructuralPass):
    """Calls the merging method (``fuse``, ``reparameterize`` or ``switch_to_deploy``) of every module that has one.

    That covers timm's networks and any network whose blocks offer such a method, which either changes its module
    in place or returns the module to put there.
    """

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "the quantized ranges belong to the branches; quantize last",
        "qat": "the trained ranges belong to the branches; reparameterize first",
        "fold_batchnorm": "the branches bring their own BatchNorm into the merged layer; reparameterize first",
        "reparameterize": "the branches are merged already",
        "factorize": "a factorized layer is no branch that can be merged; reparameterize first",
    }
    keeps_outputs: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/reparameterize.py",
        "passes/structural.py",
        "model.py",
        "counts.py",
        "zoo",
    )

    kind: Literal["reparameterize"] = "reparameterize"

    def apply(self, model: Model, context: Context) -> Outcome:
        """Merge the branches of a copy of ``model``.

        Raises:
            PassError: nothing can be merged, or a module's own method fails.
        """
        copied = model.copy()
        try:
            network, merged = merge(copied.network)
        except Exception as error:  # the merging methods are the network's own code
            raise PassError(
                f"the network's own merging failed: {type(error).__name__}: {error}",
                where="reparameterize",
                remedy=f"repair that method of '{model.architecture}', or leave the pass out",
            ) from error
        if not merged:
            raise PassError(
                f"'{model.architecture}' has no branches to merge "
                f"(no module whose {', '.join(METHODS[:2])} or {METHODS[2]} changes anything)",
                where="reparameterize",
                remedy="leave the pass out",
            )
        after = replace(copied, network=network.eval(), edits=(*model.edits, {"kind": self.kind}))
        changes = {
            "merged": len(merged),
            "layers": merged,
        }
        context.progress(1.0, f"merged the branches of {len(merged)} modules")
        return Outcome(after, changes)

    @classmethod
    def replay(cls, network: nn.Module, edit: dict[str, Any]) -> nn.Module:
        """Merge the branches again; the saved weights then take the place of the merged ones."""
        network, merged = merge(network)
        if not merged:
            raise InputError("the network has no branches to merge", where="edits", remedy="the model was altered")
        return network


def merge(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """Merge all branches of ``network``, in place where its modules do so.

    Returns:
        The network (another object where its own method says so) and the names of the modules that changed.
    """
    import torch

    merged: list[str] = []

    def visit(module: nn.Module, name: str) -> nn.Module:
        method = _method(module)
        # A network's own method calls those of its parts; asking the parts tells which ones changed.
        whole = not name and any(_method(part) for part in module.modules() if part is not module)
        if method is not None and not whole:
            before, own_name = _structure(module), name or type(module).__name__
            returned = getattr(module, method)()
            module = returned if isinstance(returned, torch.nn.Module) else module
            if _structure(module) != before:
                merged.append(own_name)
        for child_name, child in list(module.named_children()):
            changed = visit(child, f"{name}.{child_name}" if name else child_name)
            if changed is not child:
                setattr(module, child_name, changed)
        return module

    with torch.no_grad():
        network = visit(network, "")
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network, merged


def _method(module: nn.Module) -> str | None:
    # Of the class: a layer that a network calls 'fuse' is no method of it.
    return next((name for name in METHODS if callable(getattr(type(module), name, None))), None)


def _structure(module: nn.Module) -> list[tuple[str, str]]:
    """What tells a merged module from an unmerged one; a merged one may keep its method, which does nothing."""
    return [(name, type(part).__qualname__) for name, part in module.named_modules()]
