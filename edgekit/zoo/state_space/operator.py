"""The selective scan as one operator ``edgekit::selective_scan``: for eager code, training and quantization.

Its backward keeps nothing but the inputs. It finds the states at the starts of the chunks again, then those within
the chunks for a few rows at a time, and runs the adjoint recurrence over them backwards.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.zoo.state_space.chunked import (
    Form,
    Step,
    carry,
    chunked_scan,
    cut,
    levels,
    one_way,
    rates_of_rows,
    run,
    summed,
    turned,
)

if TYPE_CHECKING:
    from torch.export import ExportedProgram

#: Bytes of states that are kept at once. On a CPU few rows at a time stay in its caches; a GPU wants large ones.
_CPU_BYTES, _GPU_BYTES = 32 << 20, 512 << 20


@torch.library.custom_op("edgekit::selective_scan", mutates_args=())
def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803  (the symbols of the papers)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
) -> Tensor:
    """As ``SelectiveScan.forward``; in the dtype of its arguments, with gradients for all of them."""
    return _forward(u, dt, A, B, C, skip)


@torch.library.custom_op("edgekit::native_scan", mutates_args=())
def native_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
    backwards: int,
    raw_steps: bool,
) -> Tensor:
    """What runtimes with edgekit's native operator do in one; for their export, not for training.

    Args:
        u, A, B, C, skip: as in ``selective_scan_reference``.
        dt: likewise, or what softplus makes it of, where ``raw_steps``.
        backwards: how many groups, the last ones, are read from their end.
        raw_steps: see ``dt``.
    """
    steps = F.softplus(dt) if raw_steps else dt
    u, steps, B, C = (turned(one, backwards) for one in (u, steps, B, C))  # noqa: N806
    return turned(_forward(u, steps, A, B, C, skip), backwards)


@selective_scan.register_fake
@native_scan.register_fake
def _shape(u: Tensor, *others: object) -> Tensor:
    return u.new_empty(u.shape)


def _forward(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:  # noqa: N803
    parts = [chunked_scan(u[some], dt[some], A, B[some], C[some], skip) for some in _few(dt, A)]
    return torch.cat(parts).contiguous()


def _few(dt: Tensor, A: Tensor) -> list[slice]:  # noqa: N803
    """The images with the steps ``dt`` ``[N, G, L, D]``, as many at a time as their states may take memory."""
    limit = _GPU_BYTES if dt.is_cuda else _CPU_BYTES
    count = max(1, limit // (dt[:1].numel() * A.shape[-1] * dt.element_size()))
    return [slice(at, at + count) for at in range(0, len(dt), count)]


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
    u, dt, A, B, C, skip = ctx.saved_tensors  # noqa: N806
    rows = [_of_images(gradient[i], u[i], dt[i], A, B[i], C[i], skip) for i in _few(dt, A)]
    of_u, of_dt, of_a, of_b, of_c, of_skip = zip(*rows, strict=True)
    return torch.cat(of_u), torch.cat(of_dt), sum(of_a), torch.cat(of_b), torch.cat(of_c), sum(of_skip)


def _of_images(
    gradient: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of the six inputs for some images, from that of y ``[N, G, L, D]``.

    With g_l the gradient of the state after step l: g_l = C_l gy_l + exp(dt_(l+1) A) g_(l+1), a scan of the same
    kind that runs backwards.
    """
    ways = u.shape[1]
    if dt.shape[1] > ways:
        u, dt, B, C = one_way(u, dt, B, C)  # noqa: N806
        gradient = torch.cat((gradient, gradient.flip(2)), 1)
        one_u, one_dt, one_a, one_b, one_c, one_skip = _of_images(gradient, u, dt, A, B, C, skip)
        return summed(one_u, ways), turned(one_dt, ways), one_a, turned(one_b, ways), turned(one_c, ways), one_skip
    sizes = levels(u.shape[2], A.numel())
    dts, xs = cut(dt, sizes, "row"), cut(dt * u, sizes, "row")
    rates = rates_of_rows(A, len(u))
    steps: list[Step] = list(zip(dts.unbind(2), xs.unbind(2), cut(B, sizes, "column").unbind(2), strict=True))
    reads = cut(C, sizes, "column").unbind(2)
    wanted = cut(gradient, sizes, "row").unbind(2)
    decays = torch.exp(rates * dts.sum(2))

    for end in run(steps, rates):  # noqa: B007  (the last one is wanted)
        pass
    states = [carry(end, decays, sizes[1:])]
    for step, x, given in steps:
        states.append(torch.exp(step * rates) * states[-1] + x * given)

    backwards = list(zip(steps, reads, wanted, states[1:], states[:-1], strict=True))[::-1]
    handed = torch.zeros_like(end)
    for (step, _, _), read, gy, _, _ in backwards:
        handed = torch.exp(step * rates) * (handed + read * gy)
    handed = carry(handed.flip(1), decays.flip(1), sizes[1:]).flip(1)
    of_rates = torch.zeros_like(handed)
    of_dt, of_x, of_b, of_c = [], [], [], []
    for (step, x, given), read, gy, after, before in backwards:
        of_state = handed + read * gy
        of_c.append(after @ gy.transpose(-1, -2))
        of_b.append(of_state @ x.transpose(-1, -2))
        of_x.append(given.transpose(-1, -2) @ of_state)
        handed = torch.exp(step * rates) * of_state
        of_exponent = handed * before
        of_dt.append((of_exponent * rates).sum(2, keepdim=True))
        of_rates = of_rates + of_exponent * step

    def joined(parts: list[Tensor], like: Tensor) -> Tensor:
        every = torch.stack(parts[::-1], 2).reshape(*like.shape[:2], -1, like.shape[3])
        return every[:, :, : like.shape[2]]

    x_gradient = joined(of_x, u)
    return (
        x_gradient * dt + skip[:, None, :] * gradient,
        joined(of_dt, dt) + x_gradient * u,
        of_rates.sum(1).reshape(len(u), *A.transpose(1, 2).shape).sum(0).transpose(1, 2),
        joined(of_b, B),
        joined(of_c, C),
        (gradient * u).sum((0, 2)),
    )


selective_scan.register_autograd(_gradients, setup_context=_keep)


class EagerScan(torch.autograd.Function):
    """The same for code that is not exported: an operator of one's own stops ``torch.func``, this does not."""

    generate_vmap_rule = True
    forward = staticmethod(_forward)
    setup_context = staticmethod(_keep)
    backward = staticmethod(_gradients)


def write_out(program: ExportedProgram, form: Form) -> ExportedProgram:
    """The program with each scan in it replaced by standard operators; itself where it has none."""
    whole = torch.ops.edgekit.selective_scan.default
    if not any(node.target is whole for node in program.graph.nodes):
        return program
    forms: dict[Any, Any] = {whole: functools.partial(chunked_scan, form=form)}
    if form != "recompute":
        forms[torch.ops.aten.softplus.default] = _softplus
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyTorch itself still calls
        written: ExportedProgram = program.run_decompositions(forms)
    return written


def _softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Any:
    """log(1 + e^x) without a choice between two results, which XNNPACK does not make.

    In ONNX Runtime it takes a third of the time of its operator. What 1 + e^-|x| was rounded by is given back: else
    a step of 0.001 would be off by 6e-5 of itself, and those below 6e-8 would be 0.
    """
    if beta != 1:
        return NotImplemented
    small = torch.exp(-x.abs())
    whole = 1 + small
    return torch.relu(x) + (torch.log(whole) - ((whole - 1) - small))
