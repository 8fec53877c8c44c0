"""The selective scan in standard operators: M chunks of Q steps, M Q >= L, that all advance together.

Three stages. The first runs every chunk from a state of zero, to find the state that it ends with. The second
carries the states over the M chunks: a chunk of steps dt_1..dt_Q multiplies what it is given by exp(A sum dt). The
third finds the outputs from the true state at the start of each chunk. So about 2 Q + M operators of ``[.., S, D]``
values in a row do what L would, and there are no more of them in an exported graph.

The second stage is such a recurrence again. Where there are many more chunks than steps in one, it is done the same
way, for T groups of R chunks that all advance together: 2 Q + 2 R + T operators, Q R T >= L.

Only numbers <= 0 are exponentiated, so nothing overflows whatever dt A is, and no infinity meets a zero. Steps of
padding have dt = 0 and change no state. Channels lie innermost, where runtimes vectorize.
"""

from __future__ import annotations

import functools
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
#: Operators that a step, a chunk in a group of chunks, and a group add to a graph, about.
_EACH = (8, 5, 3)
#: Values in the states of all chunks, where groups of them are made: more (1 MiB) leave the caches of a core, and
#: the passes that groups add over them cost more than they save.
_MOST_STATES = 1 << 18
#: Graphs of so many operators take minutes to export; twice as many values are no slower to run than those are.
_LARGE = 1000
#: Groups are made where they halve the operators, at least.
_WORTH = 0.5
_FORWARDS, _BACKWARDS = slice(None), slice(None, None, -1)
#: Tensors that XNNPACK puts together in one operator.
_MOST_JOINED = 5


@functools.cache
def levels(length: int, states: int) -> tuple[int, ...]:
    """Q steps in a chunk, and M chunks or R in a group and T groups; their product is ``length`` or a little more.

    Args:
        length: L.
        states: values in the states of one chunk of an image, G S D.
    """
    if length <= SHORT:
        return length, 1
    size = math.isqrt(length - 1) + 1
    flat = (size, -(-length // size))

    def cost(sizes: tuple[int, ...]) -> float:
        each = _EACH if len(sizes) > 2 else (_EACH[0], _EACH[-1])
        return sum(map(math.prod, zip(sizes, each, strict=True))) * math.prod(sizes) / length

    most = _MOST_STATES * (2 if cost(flat) > _LARGE else 1)
    grouped = (
        (size, count, -(-length // (size * count)))
        for size in range(max(2, -(-length * states // most)), flat[0])
        for count in range(2, flat[1])
        if size * count < length
    )
    best = min(grouped, key=cost, default=flat)
    return best if cost(best) <= _WORTH * cost(flat) else flat


def chunked_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803  (the symbols of the papers)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
    form: Form = "recompute",
) -> Tensor:
    """As ``SelectiveScan.forward``, there and back if the arguments say so; in their dtype."""
    groups = u.shape[1]
    if dt.shape[1] == groups:
        return _one_way(u, dt, A, B, C, skip, form)
    if form == "delegated":
        # XNNPACK turns nothing around. Two scans of half as many states each take no longer: more of them stay in
        # the caches.
        ways = zip(*(one.chunk(2, 1) for one in (dt, B, C)), *(one.chunk(2) for one in (A, skip)), strict=True)
        there, back = (
            _one_way(u, dt, A, B, C, skip, form, backwards)
            for backwards, (dt, B, C, A, skip) in zip((False, True), ways, strict=True)
        )
        return there + back
    u, dt, B, C = one_way(u, dt, B, C)  # noqa: N806
    return summed(_one_way(u, dt, A, B, C, skip, form), groups)


def one_way(u: Tensor, dt: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: N803
    """What goes there and back as twice as many groups that all go there; what goes there only as it is."""
    ways = u.shape[1]
    if dt.shape[1] == ways:
        return u, dt, B, C
    return torch.cat((u, u.flip(2)), 1), turned(dt, ways), turned(B, ways), turned(C, ways)


def turned(values: Tensor, last: int) -> Tensor:
    """``[N, G, L, W]`` with the steps of its last groups in reverse."""
    first, others = values.tensor_split([values.shape[1] - last], 1)
    return torch.cat((first, others.flip(2)), 1)


def summed(y: Tensor, groups: int) -> Tensor:
    """Of what ``one_way`` made the results ``[N, G, L, D]``: there and back in one."""
    return y if y.shape[1] == groups else y[:, :groups] + y[:, groups:].flip(2)


def _one_way(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
    form: Form,
    backwards: bool = False,
) -> Tensor:
    """All groups from the first step to the last, or in the form ``delegated`` backwards."""
    batch, groups, length, channels = u.shape
    sizes = levels(length, A.numel())
    dts, xs = cut(dt, sizes, "row"), cut(dt * u, sizes, "row")
    rates = rates_of_rows(A, batch)
    columns = _steps(cut(B, sizes, "column"))
    reads = _steps(cut(C, sizes, "column" if form == "delegated" else "row"))
    order = _BACKWARDS if backwards else _FORWARDS
    steps, reads = list(zip(_steps(dts), _steps(xs), columns, strict=True))[order], reads[order]
    counts = sizes[1:]
    if dts.shape[1] == 1:
        parts = [_read(read, state) for read, state in zip(reads, run(steps, rates), strict=True)]
    elif form == "recompute":
        # Over four axes: over five OpenVINO adds them up five times slower.
        spent = dts.flatten(2, 3).sum(2, keepdim=True)
        parts = _recompute(steps, reads, rates, torch.exp(rates * spent), counts)
    elif form == "correct":
        parts = _correct(steps, reads, rates, torch.cumsum(dts, 2).unbind(2), counts)
    else:
        passed = list(itertools.accumulate(dt for dt, *_ in steps))
        parts = _correct(steps, reads, rates, passed, counts, _joined, order)
    join = _joined if form == "delegated" else torch.cat
    y = join(parts[order], 2).reshape(batch, groups, math.prod(sizes), channels)
    return (y[:, :, :length] if y.shape[2] > length else y) + skip[:, None, :] * u


def cut(values: Tensor, sizes: Sequence[int], each: Literal["row", "column"]) -> Tensor:
    """``[N, G, L, W]`` -> ``[N G, M, Q, 1, W]`` or ``[N G, M, Q, W, 1]``, filled up with zeros; see ``levels``.

    Every size is said: where one is left open (-1), OpenVINO does not fuse the operators of a step.
    """
    batch, groups, length, width = values.shape
    whole = math.prod(sizes)
    padded = F.pad(values, (0, 0, 0, whole - length)) if whole > length else values
    shape = (1, width) if each == "row" else (width, 1)
    return padded.reshape(batch * groups, whole // sizes[0], sizes[0], *shape)


def _steps(values: Tensor) -> tuple[Tensor, ...]:
    """``[K, M, Q, V, W]`` -> Q times ``[K, M, V, W]``, with nothing left to be reshaped: XNNPACK would copy it."""
    return torch.split(values.flatten(2, 3), values.shape[3], 2)


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


def carry(
    ends: Tensor, decays: Tensor, counts: Sequence[int], join: Join = torch.cat, order: slice = _FORWARDS
) -> Tensor:
    """The state that each chunk starts from, given what it adds and what it keeps; all ``[K, M, S, D]``.

    Args:
        ends, decays: see above.
        counts: M, or R and T; see ``levels``.
        join: as ``torch.cat``.
        order: in which the chunks, and their groups, follow one another.
    """
    in_group, *groups = counts
    above = (ends.shape[0], math.prod(groups), *ends.shape[2:])
    rows = (above[0] * above[1], in_group, *above[2:])
    each = list(zip(*(torch.split(one.reshape(rows), 1, 1) for one in (ends, decays)), strict=True))[order]
    start = torch.zeros_like(each[0][0])
    if groups:
        end, decay = each[0]
        for added, kept in each[1:]:
            end, decay = kept * end + added, kept * decay
        start = carry(end.reshape(above), decay.reshape(above), groups, join, order).reshape(start.shape)
    starts = [start]
    for added, kept in each[:-1]:
        starts.append(kept * starts[-1] + added)
    return join(starts[order], 1).reshape(ends.shape)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    """``torch.cat`` by a few at a time, for tensors of four axes that are 1 wide along ``axis``, or lack that one.

    The axis that follows is taken in and split off again in turn: converters make one of concatenations that stand
    behind one another.
    """
    before, (following, *after) = parts[0].shape[:axis], parts[0].shape[axis + parts[0].ndim - 3 :]
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
    """y ``[K, M, 1, D]`` of states ``[K, M, S, D]``; by C as a column ``[K, M, D]``, so XNNPACK copies nothing."""
    return read @ state if read.shape[2] == 1 else (read * state).sum(2)


def _recompute(
    steps: list[Step], reads: tuple[Tensor, ...], rates: Tensor, decays: Tensor, counts: Sequence[int]
) -> list[Tensor]:
    *_, ends = run(steps, rates)
    state = carry(ends, decays, counts)
    parts = []
    for (dt, x, given), read in zip(steps, reads, strict=True):
        # The factors stand the other way round than in ``run``. Else the runtimes' elimination of common
        # subexpressions would keep every step's decays in memory, which takes longer than computing them again.
        state = state * torch.exp(rates * dt) + given * x
        parts.append(read @ state)
    return parts


def _correct(
    steps: list[Step],
    reads: Sequence[Tensor],
    rates: Tensor,
    passed: Sequence[Tensor],
    counts: Sequence[int],
    join: Join = torch.cat,
    order: slice = _FORWARDS,
) -> list[Tensor]:
    own, ends = [], rates
    for read, ends in zip(reads, run(steps, rates), strict=True):
        own.append(_read(read, ends))
    starts = carry(ends, torch.exp(rates * passed[-1]), counts, join, order)
    return [
        part + _read(read, torch.exp(rates * time) * starts)
        for part, read, time in zip(own, reads, passed, strict=True)
    ]
