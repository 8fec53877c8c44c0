"""What the layers of a network put out while it runs, read by hooks, whatever the network's code looks like."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from edgekit.passes.base import PassError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model import Model

_MOST_PREFIX_TOKENS = 5


@dataclass(frozen=True)
class Layer:
    """A layer that puts out a spatial map.

    Attributes:
        name: as in ``named_modules``.
        kind: its class.
        composite: whether it is made of layers with weights.
        size: (h, w) of its map.
        channels: of its map.
        depth: share of the network's layers with weights that have run when it is done, 0 to 1.
    """

    name: str
    kind: type
    composite: bool
    size: tuple[int, int]
    channels: int
    depth: float

    @property
    def level(self) -> int:
        """How many layers it lies within."""
        return self.name.count(".")


def run(network: nn.Module, inputs: Tensor, names: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Run ``network`` once, and keep what the layers ``names`` put out.

    The hooks live for this one call: whatever copies, saves or evaluates the network otherwise sees none.

    Returns:
        The network's own output, and each layer's last output in float32, with gradients where they are on.

    Raises:
        PassError: ``network`` has no such layer, or does not run it, as a traced program (QAT's) does not.
    """
    found: dict[str, Tensor] = {}
    wanted = tuple(dict.fromkeys(names))
    handles = []
    try:
        for name in wanted:
            # By attributes: a wrapper such as Fabric's passes those on, but prefixes the names of modules.
            with suppress(AttributeError):
                handles.append(network.get_submodule(name).register_forward_hook(_keep(found, name)))
        given: Tensor = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    silent = [name for name in wanted if name not in found]
    if silent:
        raise PassError(
            f"the network in training runs no layer '{silent[0]}': a traced program has lost its layers",
            where="distillation",
            remedy="distil its logits only: leave out 'features', 'attention' and 'ranking'",
        )
    return given, found


def _keep(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    def after(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            found[name] = output.float()

    return after


def probe(model: Model) -> dict[str, Layer]:
    """Every layer of ``model`` that puts out a spatial map, in the order in which they are done."""
    size = (model.input_size[1], model.input_size[2])
    done: list[tuple[str, nn.Module, Tensor, int]] = []
    weighted = 0

    def after(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal weighted
            weighted += bool(list(layer.parameters(recurse=False)))
            # Windows and patches that are folded into the batch are no map of one image.
            mapped = as_map(output, size) if isinstance(output, torch.Tensor) and len(output) == 2 else None
            if mapped is not None:
                done.append((name, layer, mapped, weighted))

        return hook

    handles = [layer.register_forward_hook(after(name)) for name, layer in model.network.named_modules() if name]
    try:
        with torch.no_grad():
            model.network(torch.zeros(2, *model.input_size))
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: Layer(
            name,
            type(layer),
            any(any(True for _ in child.parameters()) for child in layer.children()),
            (mapped.shape[2], mapped.shape[3]),
            mapped.shape[1],
            before / max(weighted, 1),
        )
        for name, layer, mapped, before in done
    }


def as_map(output: Tensor, image: tuple[int, int]) -> Tensor | None:
    """``output`` as ``[n, C, h, w]``, or none where it is no map of the image.

    Taken as maps are ``[n, C, h, w]``, ``[n, h, w, C]`` and tokens ``[n, N, C]`` whose last h w lie on a grid;
    the up to five before them (class token, distillation token, registers) are left out. Which it is shows in the
    image's aspect ratio.

    Args:
        output: of a layer.
        image: (H, W) of the network's input.
    """
    if output.ndim == 3:
        for prefix in range(_MOST_PREFIX_TOKENS + 1):
            grid = _grid(output.shape[1] - prefix, image)
            if grid is not None:
                return output[:, prefix:].transpose(1, 2).reshape(len(output), -1, *grid)
        return None
    if output.ndim != 4:
        return None
    _, first, second, third = output.shape
    # A size that was rounded fits the ratio to within one row or column only.
    for slack in (0, max(image)):
        if _fits((second, third), image, slack):
            return output
        if _fits((first, second), image, slack):
            return output.permute(0, 3, 1, 2)
    return None


def _fits(size: tuple[int, int], image: tuple[int, int], slack: int) -> bool:
    within = size[0] <= image[0] and size[1] <= image[1]
    return within and abs(size[0] * image[1] - size[1] * image[0]) <= slack


def _grid(tokens: int, image: tuple[int, int]) -> tuple[int, int] | None:
    for rows in range(1, tokens + 1):
        if tokens % rows == 0 and _fits((rows, tokens // rows), image, 0):
            return rows, tokens // rows
    return None


def unknown(name: str, known: Iterable[str], of: str, where: str) -> PassError:
    """The error for a layer that a person named and that is not there, or is not of the kind asked for."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    some = f"nearest: {', '.join(near)}" if near else f"such as: {', '.join(names[-3:])}"
    return PassError(f"the {of} has no such layer: '{name}'", where=where, remedy=some if names else None)
