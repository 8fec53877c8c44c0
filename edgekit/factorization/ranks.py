"""Which ranks a layer gets: every allowed choice with its cost and what it loses, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.factorization import decompositions
from edgekit.factorization.candidates import Candidate

if TYPE_CHECKING:
    from torch import Tensor

#: Share of a layer's MACs from which on its factors do not pay: they pass over memory two or three times. Measured
#: in OpenVINO, f32, one thread: 3x3 layers of 32 channels break even near 0.7, wider ones near 0.95; ResNet-18 with
#: every layer at 0.7, and at 0.9, ran at 0.95 and 1.06 of its latency.
PAYS_BELOW = 0.75


@dataclass(frozen=True)
class Choice:
    """Ranks of one layer, in the order of ``factors.empty``.

    Attributes:
        ranks: (r) or (r_in, r_out).
        macs: multiply-adds of the factors on one image.
    """

    ranks: tuple[int, ...]
    macs: int


@dataclass(frozen=True)
class Options:
    """All ranks that a layer may get.

    Attributes:
        candidate: the layer.
        macs_before: of the layer on one image.
        ranks: ``int[n, 1 or 2]``.
        macs: ``int[n]``, of the factors.
        lost: ``float[n]``, share of the weight's squared norm that is lost: exact for SVD, a bound for Tucker-2.
    """

    candidate: Candidate
    macs_before: int
    ranks: NDArray[np.int64]
    macs: NDArray[np.int64]
    lost: NDArray[np.float64]

    def for_energy(self, energy: float) -> Choice:
        """The cheapest ranks that keep at least the share ``energy`` of the squared singular values."""
        fits = np.flatnonzero(self.lost <= 1 - energy)
        return self._choice(fits[np.lexsort((self.lost[fits], self.macs[fits]))[0]])

    def for_ratio(self, ratio: float) -> Choice | None:
        """The ranks that lose least of those that cost at most ``ratio`` of the layer; none where none do."""
        fits = np.flatnonzero(self.macs <= ratio * self.macs_before)
        return self._choice(fits[np.lexsort((self.macs[fits], self.lost[fits]))[0]]) if fits.size else None

    def _choice(self, index: Any) -> Choice:
        return Choice(tuple(int(rank) for rank in self.ranks[index]), int(self.macs[index]))


def options(candidate: Candidate, weight: Tensor, multiple: int) -> Options:
    """The choices for ``candidate``: multiples of ``multiple`` below the full rank, and the full rank.

    Args:
        candidate: the layer.
        weight: of the layer, of the shape ``candidate.shape``.
        multiple: what the vector units of the targets like.
    """
    out, into, *kernel = candidate.shape
    if candidate.method == "svd":
        spectrum = decompositions.svd_spectrum(weight.detach().flatten(1)).numpy()
        rank = _allowed(len(spectrum), multiple)
        macs = rank * (into + out) * candidate.positions_out
        return Options(candidate, out * into * candidate.positions_out, rank[:, None], macs, _tail(spectrum)[rank])
    positions = kernel[0] * kernel[1]
    inner, outer = (one.numpy() for one in decompositions.tucker2_spectra(weight.detach()))
    pairs = np.meshgrid(
        _allowed(min(into, out * positions), multiple),
        _allowed(min(out, into * positions), multiple),
        indexing="ij",
    )
    r_in, r_out = pairs[0].ravel(), pairs[1].ravel()
    # A 1x1 of full rank is left out; see factors.empty.
    reduce = np.where(r_in < into, into * r_in * candidate.positions_in, 0)
    expand = np.where(r_out < out, out * r_out * candidate.positions_out, 0)
    macs = reduce + r_in * r_out * positions * candidate.positions_out + expand
    lost = np.minimum(_tail(inner)[r_in] + _tail(outer)[r_out], 1.0)
    before = out * into * positions * candidate.positions_out
    return Options(candidate, before, np.stack((r_in, r_out), axis=1), macs, lost)


def for_energy(every: Sequence[Options], energy: float) -> tuple[dict[str, Choice], dict[str, str]]:
    """Ranks for a common ``energy``; layers whose factors would not cost less than ``PAYS_BELOW`` are left."""
    chosen: dict[str, Choice] = {}
    left: dict[str, str] = {}
    for one in every:
        choice = one.for_energy(energy)
        if choice.macs < PAYS_BELOW * one.macs_before:
            chosen[one.candidate.name] = choice
        else:
            left[one.candidate.name] = (
                f"it does not pay: to keep {energy:.4g} of its energy takes rank {_said(choice)}, which costs "
                f"{choice.macs / one.macs_before:.0%} of its MACs (less than {PAYS_BELOW:.0%} pays)"
            )
    return chosen, left


def for_ratio(every: Sequence[Options], ratio: float) -> tuple[dict[str, Choice], dict[str, str]]:
    """Ranks for a share ``ratio`` of each layer's MACs; layers that no allowed ranks bring there are left."""
    chosen: dict[str, Choice] = {}
    left: dict[str, str] = {}
    for one in every:
        choice = one.for_ratio(ratio)
        if choice is not None:
            chosen[one.candidate.name] = choice
            continue
        least = one.for_energy(0.0)
        left[one.candidate.name] = (
            f"it does not pay: the lowest allowed rank, {_said(least)}, costs "
            f"{least.macs / one.macs_before:.0%} of its MACs"
        )
    return chosen, left


def saved(every: Sequence[Options], chosen: Mapping[str, Choice]) -> int:
    """Multiply-adds that ``chosen`` saves on one image."""
    return sum(one.macs_before - chosen[one.candidate.name].macs for one in every if one.candidate.name in chosen)


def _allowed(full: int, multiple: int) -> NDArray[np.int64]:
    return np.array([*range(multiple, full, multiple), full], dtype=np.int64)


def _tail(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the energy behind the first r values, for r = 0 ... n; exactly 0 at n."""
    behind = np.cumsum(spectrum[::-1])[::-1]
    shares: NDArray[np.float64] = np.append(behind, 0.0) / behind[0]
    return shares


def _said(choice: Choice) -> str:
    return " x ".join(map(str, choice.ranks))
