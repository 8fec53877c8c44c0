"""What the layers of a network put out while it runs, read by hooks, whatever the network's code looks like."""

from __future__ import annotations

import difflib
import math
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
        size: (h, w) of its map, or (d, h, w).
        channels: of its map.
        depth: share of the network's layers with weights that have run when it is done, 0 to 1.
    """

    name: str
    kind: type
    composite: bool
    size: tuple[int, ...]
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
    size = model.input_size[1:]
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
            tuple(mapped.shape[2:]),
            mapped.shape[1],
            before / max(weighted, 1),
        )
        for name, layer, mapped, before in done
    }


def as_map(output: Tensor, image: tuple[int, ...]) -> Tensor | None:
    """``output`` as ``[n, C, *spatial]``, or none where it is no map of the image.

    Taken as maps are ``[n, C, *spatial]``, ``[n, *spatial, C]`` and tokens ``[n, N, C]`` whose last ones lie on a
    grid; the up to five before them (class token, distillation token, registers) are left out. Which it is shows in
    the image's aspect ratio.

    Args:
        output: of a layer.
        image: (H, W) or (D, H, W) of the network's input.
    """
    if output.ndim == 3:
        for prefix in range(_MOST_PREFIX_TOKENS + 1):
            grid = _grid(output.shape[1] - prefix, image)
            if grid is not None:
                return output[:, prefix:].transpose(1, 2).reshape(len(output), -1, *grid)
        return None
    if output.ndim != len(image) + 2:
        return None
    # A size that was rounded fits the ratio to within one row or column only.
    for slack in (0, max(image)):
        if _fits(output.shape[2:], image, slack):
            return output
        if _fits(output.shape[1:-1], image, slack):
            return output.movedim(-1, 1)
    return None


def _fits(size: tuple[int, ...], image: tuple[int, ...], slack: int) -> bool:
    within = all(one <= whole for one, whole in zip(size, image, strict=True))
    ratios = (abs(size[0] * whole - one * image[0]) for one, whole in zip(size[1:], image[1:], strict=True))
    return within and all(gap <= slack for gap in ratios)


def _grid(tokens: int, image: tuple[int, ...]) -> tuple[int, ...] | None:
    """The one size in the image's ratio that has as many positions."""
    for first in range(1, image[0] + 1):
        sizes = [first * whole for whole in image]
        if any(one % image[0] for one in sizes):
            continue
        grid = tuple(one // image[0] for one in sizes)
        if math.prod(grid) == tokens:
            return grid
    return None


def unknown(name: str, known: Iterable[str], of: str, where: str) -> PassError:
    """The error for a layer that a person named and that is not there, or is not of the kind asked for."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    some = f"nearest: {', '.join(near)}" if near else f"such as: {', '.join(names[-3:])}"
    return PassError(f"the {of} has no such layer: '{name}'", where=where, remedy=some if names else None)
