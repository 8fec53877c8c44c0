"""Axes that a file leaves open: how a network is traced with them, and which sizes it then takes."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit.errors import UnsupportedError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from edgekit.target import Axis

#: Images in the example of a program whose batch stays open. A single one would be taken for a constant.
_SEVERAL = 3
#: Sides of the example of a program whose size stays open: none like another, and whole when halved six times.
_SIDES = (192, 256, 320)
#: What sides may have to be multiples of.
_STEPS = (1, 2, 4, 8, 16, 32, 64)
#: The largest side that is asked for, in those of the input.
_TIMES = 4
#: Shares of the input's sides at which a file with open sizes is tried.
_SHARES = ((0.75, 1.0), (1.0, 1.25))


class Sizes(NamedTuple):
    """The sides of inputs that a file takes: the multiples of ``step`` from ``least`` to ``most``."""

    step: int
    least: int
    most: int


def export(network: torch.nn.Module, inputs: torch.Tensor, dynamic: Sequence[Axis] = ()) -> ExportedProgram:
    """``torch.export`` of a network in eval mode for the shape of ``inputs``, but for the axes that stay open.

    Args:
        network: the network, or a graph made of it.
        inputs: ``float32[N, C, *spatial]``.
        dynamic: axes that stay open.

    Raises:
        UnsupportedError: the network fixes an axis that was to stay open.
    """
    import torch
    from torch.fx.experimental.symbolic_shapes import ConstraintViolationError

    if not dynamic:
        return _export(network, inputs, {})
    dims: dict[int, Any] = {}
    if "batch" in dynamic:
        inputs = inputs.expand(_SEVERAL, *inputs.shape[1:]).contiguous()
        dims[0] = torch.export.Dim("batch", min=1)
    if "size" in dynamic:
        sides = _SIDES[: inputs.dim() - 2]
        inputs = inputs.new_zeros(*inputs.shape[:2], *sides)
        dims |= dict.fromkeys(range(2, inputs.dim()), torch.export.Dim.AUTO)
    try:
        return _export(network, inputs, dims)
    except (torch._dynamo.exc.UserError, ConstraintViolationError) as error:
        raise _fixed("how many images it takes at once", "batch", error) from error
    except Exception as error:  # a network may raise anything for a size that is no number
        if "size" not in dynamic:
            raise
        raise _fixed("the size of its input", "size", error) from error


def _export(network: torch.nn.Module, inputs: torch.Tensor, dims: dict[int, Any]) -> ExportedProgram:
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.export.export(network, (inputs,), dynamic_shapes=(dims,) if dims else None)


def _fixed(what: str, axis: Axis, why: object) -> UnsupportedError:
    text = (str(why).strip() or type(why).__name__).splitlines()[0]
    remedy = f"leave '{axis}' out of the recipe's 'dynamic'"
    return UnsupportedError(f"the network fixes {what}: {text}", where="dynamic", remedy=remedy)


def sizes(program: ExportedProgram, nominal: Sequence[int]) -> Sizes:
    """The sizes that a program takes whose size was left open, the smallest step first.

    A network that pads odd sides, or cuts them into windows, computes other operators for other sizes. PyTorch
    notes what was decided by the size where it traced the example; for every side, up to four times the input's, it
    is asked whether that was decided alike.

    Args:
        program: from ``export``.
        nominal: (H, W) or (D, H, W) of the recipe's inputs, which must be among them.

    Raises:
        UnsupportedError: the network computes the recipe's own size otherwise, or no range of sizes.
    """
    import torch

    given = next(node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    shape = given.meta["val"].shape
    if not all(isinstance(side, torch.SymInt) for side in shape[2:]):
        raise _fixed("the size of its input", "size", f"its graph takes {list(shape[2:])} only")
    batch = _SEVERAL if isinstance(shape[0], torch.SymInt) else 1
    bounds = [program.range_constraints[side.node.expr] for side in shape[2:]]
    guards: Any = program.module(check_guards=True).get_submodule("_guards_fn")

    def refused(*sides: int) -> str:
        if not all(one.lower <= side <= one.upper for one, side in zip(bounds, sides, strict=True)):
            return f"it takes sides from {', '.join(str(one.lower) for one in bounds)} on"
        try:
            guards(torch.empty(batch, shape[1], *sides, device="meta"))
        except AssertionError as error:
            return str(error)[:1].lower() + str(error)[1:]
        return ""

    why = refused(*nominal)
    if why:
        raise _fixed(
            "the size of its input",
            "size",
            f"{'x'.join(map(str, nominal))} is computed otherwise than larger ones: {why}",
        )
    most = _TIMES * max(nominal)
    takes = {
        side: not any(refused(*nominal[:axis], side, *nominal[axis + 1 :]) for axis in range(len(nominal)))
        for side in range(1, most + 1)
    }
    for step in _STEPS:
        asked = range(step, most + 1, step)
        least = max((side for side in asked if not takes[side]), default=0) + step
        if any(side % step for side in nominal) or least > min(nominal):
            continue
        found = Sizes(step, least, asked[-1])
        corners = itertools.product((found.least, found.most), repeat=len(nominal))
        if not any(refused(*sides) for sides in corners):
            return found
    raise _fixed("the size of its input", "size", "no range of sizes is computed by the same operators")


def others(taken: Sizes, nominal: Sequence[int]) -> list[tuple[int, ...]]:
    """Sizes beside the nominal one at which a file is tried, in which sides that follow one another differ.

    Args:
        taken: by the file.
        nominal: (H, W) or (D, H, W).
    """

    def near(side: int, share: float) -> int:
        steps = share * side / taken.step
        wanted = (math.floor if share < 1 else math.ceil)(steps) * taken.step
        return min(max(taken.least, wanted), taken.most)

    found = (tuple(map(near, nominal, itertools.cycle(pair))) for pair in _SHARES)
    return [size for size in found if size != tuple(nominal)]
