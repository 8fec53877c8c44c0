"""Which parameters learn, and the optimizer that moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.passes.base import PassError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from edgekit.model import Model
    from edgekit.training.settings import Training


def freeze(settings: Training, network: nn.Module, model: Model, where: str) -> tuple[nn.Module, ...]:
    """The parts of ``network`` that train: all of it, or its classifier with everything else frozen.

    Raises:
        PassError: ``freeze: backbone`` and no layer is seen to be the classifier.
    """
    from edgekit.zoo import classifier

    if settings.freeze == "none":
        return (network,)
    names = classifier.names(network, model.num_classes)
    if not names:
        raise PassError(
            f"'{model.architecture}' has no layer that is seen to be its classifier",
            where=f"{where}.freeze",
            remedy="set 'freeze: none'",
        )
    heads = tuple(network.get_submodule(name) for name in names)
    network.requires_grad_(False)
    for head in heads:
        head.requires_grad_(True)
    return heads


def train_mode(network: nn.Module, parts: tuple[nn.Module, ...]) -> None:
    """Training mode for ``parts`` alone: what is frozen keeps its running statistics too."""
    network.eval()
    for part in parts:
        part.train()


def optimizer(settings: Training, modules: nn.Module) -> Optimizer:
    """Over all parameters of ``modules`` that learn; biases and norms without weight decay.

    Nor has what a module's own ``no_weight_decay()`` names (timm's convention): position embeddings, and the decay
    rates of a selective scan, which weight decay would drive towards the same value.

    AdamW (Loshchilov and Hutter 2019); SGD with Nesterov momentum 0.9; RAdam (Liu et al. 2020), whose weight decay
    is decoupled as AdamW's is.
    """
    import torch

    spared = _spared(modules)
    learning = [(p, p.ndim > 1 and id(p) not in spared) for p in modules.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p, decays in learning if decays], "weight_decay": settings.weight_decay},
        {"params": [p for p, decays in learning if not decays], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = settings.learning_rate
    if settings.optimizer == "radam":
        return torch.optim.RAdam(groups, lr=rate, decoupled_weight_decay=True)
    # A fused optimizer scales float16 gradients back by itself, too late for clipping them.
    fused = settings.gradient_clipping is None or settings.precision != "16-mixed"
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=fused)


def _spared(modules: nn.Module) -> set[int]:
    """Identities of the parameters that some module keeps from weight decay."""
    found: set[int] = set()
    for module in modules.modules():
        say = getattr(module, "no_weight_decay", None)
        if callable(say):
            own = dict(module.named_parameters())
            found |= {id(own[name]) for name in say() if name in own}
    return found
