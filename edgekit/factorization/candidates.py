"""Which layers of a network can be factorized, seen by running it; and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.factorization.factors import Method, method_of
from edgekit.factorization.replaceable import example, irreplaceable
from edgekit.passes import layer_names

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model import Model


@dataclass(frozen=True)
class Candidate:
    """A layer that can be factorized.

    Attributes:
        name: in the network's ``state_dict``, without ``.weight``.
        method: see ``factors.method_of``.
        shape: of its weight: (out, in) or (out, in, kh, kw).
        positions_in, positions_out: pixels (or tokens) of one image that it reads and writes, over all its calls.
    """

    name: str
    method: Method
    shape: tuple[int, ...]
    positions_in: int
    positions_out: int


def survey(model: Model, exclude: tuple[str, ...]) -> tuple[list[Candidate], dict[str, str]]:
    """The layers of ``model`` that can be factorized, in the order of execution; the others with the reason.

    Args:
        model: is run on a seeded image, and stays as it is.
        exclude: layers, or modules with all their layers, that are left alone.

    Raises:
        PassError: ``exclude`` names nothing of this network.
    """
    from edgekit.zoo import classifier

    network = model.network
    layers = {name: one for name, one in network.named_modules() if isinstance(one, _kinds())}
    excluded = layer_names.named(network, exclude, "factorize.exclude")
    heads = classifier.names(network, model.num_classes)
    runs = _watch(network, layers, model.input_size)
    shared = _shared(network, layers)
    first = next(iter(runs.values())).read if runs else None
    found: list[Candidate] = []
    left: dict[str, str] = {}
    for name in [*runs, *(name for name in layers if name not in runs)]:
        layer: Any = layers[name]
        run = runs.get(name)
        method = method_of(layer)
        if name in excluded:
            left[name] = "excluded by the recipe"
        elif any(name == head or name.startswith(f"{head}.") for head in heads):
            left[name] = "it is the classifier"
        elif run is None:
            left[name] = "it did not run as a layer: the network reads its weight itself, or does not use it"
        elif run.read is first:
            left[name] = "it is the first layer"
        elif method is None:
            left[name] = _why(layer)
        elif name in shared:
            left[name] = shared[name]
        elif layer._forward_hooks or layer._forward_pre_hooks:
            left[name] = "it has hooks, which factors would lose"
        elif not layer.weight.any():
            left[name] = "its weights are all zero"
        else:
            shape = tuple(layer.weight.shape)
            found.append(Candidate(name, method, shape, run.positions_in, run.positions_out))
    left |= irreplaceable(network, [one.name for one in found], model.input_size)
    return [one for one in found if one.name not in left], left


@dataclass
class _Run:
    read: Tensor
    positions_in: int = 0
    positions_out: int = 0


def _kinds() -> tuple[type[nn.Module], ...]:
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    return (nn.Linear, _ConvNd)


def _watch(network: nn.Module, layers: dict[str, Any], input_size: tuple[int, ...]) -> dict[str, _Run]:
    """What each layer read and wrote in one run, in the order of execution."""
    import torch

    runs: dict[str, _Run] = {}

    def hook(name: str, layer: Any) -> Any:
        def seen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            run = runs.setdefault(name, _Run(inputs[0]))
            out = layer.weight.shape[0] if isinstance(layer, torch.nn.Linear) else layer.out_channels
            into = layer.weight.shape[1] if isinstance(layer, torch.nn.Linear) else layer.in_channels
            run.positions_in += inputs[0].numel() // into
            run.positions_out += output.numel() // out

        return layer.register_forward_hook(seen)

    handles = [hook(name, layer) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            network(example(input_size))
    finally:
        for handle in handles:
            handle.remove()
    return runs


def _shared(network: nn.Module, layers: dict[str, Any]) -> dict[str, str]:
    """Layers, or weights of layers, that the network holds under a second name."""
    parts = list(network.named_modules(remove_duplicate=False))
    weights = list(network.named_parameters(remove_duplicate=False))
    found: dict[str, str] = {}
    for name, layer in layers.items():
        others = [other for other, part in parts if part is layer and other != name]
        tied = [other for other, one in weights if one is layer.weight and other != f"{name}.weight"]
        if others:
            found[name] = f"the network uses it as '{others[0]}' too"
        elif tied:
            found[name] = f"its weight is tied to '{tied[0]}'"
    return found


def _why(layer: Any) -> str:
    from torch import nn

    if getattr(layer, "transposed", False):
        return "it is a transposed convolution"
    if type(layer) is nn.Conv2d:
        return "it is depthwise" if layer.groups == layer.in_channels else f"it has {layer.groups} groups"
    return f"what a {type(layer).__name__} does is not a plain 2D convolution or linear layer"
