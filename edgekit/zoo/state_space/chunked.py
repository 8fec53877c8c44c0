"""The selective scan in standard operators: M chunks of Q steps, M Q >= L, that all advance together.

Three stages. The first runs every chunk from a state of zero, to find the state that it ends with. The second
carries the states over the M chunks: a chunk of steps dt_1..dt_Q multiplies what it is given by exp(A sum dt). The
third finds the outputs from the true state at the start of each chunk. So about 2 Q + M operators of ``[.., S, D]``
values in a row do what L would, and there are no more of them in an exported graph.

Only numbers <= 0 are exponentiated, so nothing overflows whatever dt A is, and no infinity meets a zero. Steps of
padding have dt = 0 and change no state. Channels lie innermost, where runtimes vectorize.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

#: How the third stage is done. ``recompute`` runs the steps again from the true state, which OpenVINO does in one
#: fused kernel a step. ``correct`` adds C_q . (exp(A (dt_1 + .. + dt_q)) state) to the outputs of the first stage:
#: less work where each operator is a pass over memory, as in ONNX Runtime. ``delegated`` is the latter in operators
#: that XNNPACK takes: what is cut before an operator that it leaves to LiteRT and read behind it costs as much as
#: half of the scan.
Form = Literal["recompute", "correct", "delegated"]
#: Puts tensors together along an axis.
Join = Callable[[list[Tensor], int], Tensor]
#: dt and dt u ``[K, M, 1, D]`` and B ``[K, M, S, 1]`` of one step of all chunks; K = N G.
Step = tuple[Tensor, Tensor, Tensor]
#: Sequences up to this long are one chunk: their steps cost less than a second run over them.
SHORT = 64
#: Tensors that XNNPACK puts together in one operator.
_MOST_JOINED = 5


def chunk_size(length: int) -> int:
    """Q for a sequence of ``length`` steps."""
    return length if length <= SHORT else math.isqrt(length - 1) + 1


def chunked_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803  (the symbols of the papers)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
    form: Form = "recompute",
) -> Tensor:
    """As ``selective_scan_reference``; in the dtype of its arguments."""
    batch, groups, length, channels = u.shape
    size = chunk_size(length)
    dts, xs = cut(dt, size, "row"), cut(dt * u, size, "row")
    rates = rates_of_rows(A, batch)
    # Cut into steps once: each is one node of the graph.
    columns = cut(B, size, "column").unbind(2)
    if form == "delegated":
        # Cut so that nothing is left to be reshaped, which XNNPACK does by copying.
        rows = (torch.split(one.flatten(2, 3), 1, 2) for one in (dts, xs))
        reads = cut(C, size, "column").unbind(2)
    else:
        rows = (one.unbind(2) for one in (dts, xs))
        reads = cut(C, size, "row").unbind(2)
    steps = list(zip(*rows, columns, strict=True))
    if dts.shape[1] == 1:
        parts = [_read(read, state) for read, state in zip(reads, run(steps, rates), strict=True)]
    elif form == "recompute":
        parts = _recompute(steps, reads, rates, torch.exp(rates * dts.sum(2)))
    elif form == "correct":
        parts = _correct(steps, reads, rates, torch.cumsum(dts, 2).unbind(2))
    else:
        parts = _correct(steps, reads, rates, list(itertools.accumulate(dt for dt, *_ in steps)), _joined)
    join = _joined if form == "delegated" else torch.cat
    y = join(parts, 2).reshape(batch, groups, dts.shape[1] * size, channels)
    return (y[:, :, :length] if y.shape[2] > length else y) + skip[:, None, :] * u


def cut(values: Tensor, size: int, each: Literal["row", "column"]) -> Tensor:
    """``[N, G, L, W]`` -> ``[N G, M, Q, 1, W]`` or ``[N G, M, Q, W, 1]``, filled up with zeros.

    Every size is said: where one is left open (-1), OpenVINO does not fuse the operators of a step.
    """
    batch, groups, length, width = values.shape
    lacking = -length % size
    padded = F.pad(values, (0, 0, 0, lacking)) if lacking else values
    shape = (1, width) if each == "row" else (width, 1)
    return padded.reshape(batch * groups, (length + lacking) // size, size, *shape)


def rates_of_rows(A: Tensor, batch: int) -> Tensor:  # noqa: N803
    """``[G, D, S]`` -> ``[N G, 1, S, D]``."""
    rates = A.transpose(1, 2)[:, None]
    return rates if batch == 1 else rates.repeat(batch, 1, 1, 1)


def run(steps: list[Step], rates: Tensor) -> Iterator[Tensor]:
    """The states ``[K, M, S, D]`` after each step, from zero."""
    state: Tensor | None = None
    for dt, x, given in steps:
        state = x * given if state is None else torch.exp(dt * rates) * state + x * given
        yield state


def carry(ends: Tensor, decays: Tensor, join: Join = torch.cat) -> Tensor:
    """The state that each chunk starts from, given what it adds and what it keeps; all ``[K, M, S, D]``."""
    starts = [torch.zeros_like(ends[:, :1])]
    for chunk in range(ends.shape[1] - 1):
        starts.append(decays[:, chunk : chunk + 1] * starts[-1] + ends[:, chunk : chunk + 1])
    return join(starts, 1)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    """``torch.cat`` by a few at a time, for tensors of four axes that are 1 wide along ``axis``.

    The axis that follows is taken in and split off again in turn: converters make one of concatenations that stand
    behind one another.
    """
    before, following, after = parts[0].shape[:axis], parts[0].shape[axis + 1], parts[0].shape[axis + 2 :]
    made, count = parts, len(parts)
    while len(made) > 1:
        made = [torch.cat(made[at : at + _MOST_JOINED], axis) for at in range(0, len(made), _MOST_JOINED)]
        if len(made) > 1:
            wide = made[0].ndim == 4
            made = [
                one.flatten(axis, axis + 1) if wide else one.reshape(*before, -1, following, *after) for one in made
            ]
    return made[0].reshape(*before, count, following, *after)


def _read(read: Tensor, state: Tensor) -> Tensor:
    """y ``[K, M, 1, D]`` of a state ``[K, M, S, D]``; by C as a column, XNNPACK copies nothing for it."""
    return read @ state if read.shape[2] == 1 else (read * state).sum(2, keepdim=True)


def _recompute(steps: list[Step], reads: tuple[Tensor, ...], rates: Tensor, decays: Tensor) -> list[Tensor]:
    *_, ends = run(steps, rates)
    state = carry(ends, decays)
    parts = []
    for (dt, x, given), read in zip(steps, reads, strict=True):
        # The factors stand the other way round than in ``run``. Else the runtimes' elimination of common
        # subexpressions would keep every step's decays in memory, which takes longer than computing them again.
        state = state * torch.exp(rates * dt) + given * x
        parts.append(read @ state)
    return parts


def _correct(
    steps: list[Step], reads: Sequence[Tensor], rates: Tensor, passed: Sequence[Tensor], join: Join = torch.cat
) -> list[Tensor]:
    own, ends = [], rates
    for read, ends in zip(reads, run(steps, rates), strict=True):
        own.append(_read(read, ends))
    starts = carry(ends, torch.exp(rates * passed[-1]), join)
    return [
        part + _read(read, torch.exp(rates * time) * starts)
        for part, read, time in zip(own, reads, passed, strict=True)
    ]
