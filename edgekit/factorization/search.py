"""Finds the common energy threshold that meets a budget: by counting MACs, or by measuring latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.factorization import ranks
from edgekit.passes.base import Context, PassError
from edgekit.passes.latency_budget import LatencyBudget, stopwatch

if TYPE_CHECKING:
    from edgekit.factorization.ranks import Choice, Options
    from edgekit.model import Model

#: Halvings of the interval of energies; the MACs then differ by one step of one rank.
_HALVINGS = 40
#: Models that are measured between the cheapest one and the original.
_TRIALS = 5


def energy_for_macs(every: Sequence[Options], total: int, allowed: float) -> float | None:
    """The highest energy at which the model costs at most ``allowed`` MACs; none where no ranks reach that.

    Args:
        every: the options of all candidates.
        total: MACs of the whole model now.
        allowed: MACs of the whole model then.
    """

    def fits(energy: float) -> bool:
        return total - ranks.saved(every, ranks.for_energy(every, energy)[0]) <= allowed

    low, high = 0.0, 1.0
    if not fits(low):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def least_macs(every: Sequence[Options], total: int) -> int:
    """MACs of the whole model with the lowest allowed ranks everywhere."""
    return total - ranks.saved(every, ranks.for_energy(every, 0.0)[0])


def energy_for_latency(
    every: Sequence[Options],
    total: int,
    model: Model,
    build: Callable[[dict[str, Choice]], Model],
    budget: LatencyBudget,
    context: Context,
) -> tuple[float, list[dict[str, Any]]]:
    """The highest energy found at which the model, measured, keeps ``budget``; and what was measured.

    The MACs are halved between the cheapest factorization and the original, since latency follows them better
    than it follows the energy. Each trial measures the original too, in turn.

    Args:
        every: the options of all candidates.
        total: MACs of ``model``.
        model: the original.
        build: a model with these ranks; its weights need no meaning.
        budget: what to keep.
        context: targets and trials.

    Raises:
        PassError: the target is unknown or takes INT8 only, nothing can be measured, or the budget cannot be met.
        MissingError, DeviceError: see ``passes.base.Trial``.
    """
    measure = stopwatch(budget, model, context, "factorize")
    tried: list[dict[str, Any]] = []

    def keeps(energy: float) -> bool:
        chosen, _ = ranks.for_energy(every, energy)
        before, after = measure(build(chosen))
        limit = budget.ms / 1e3 if budget.ms is not None else (budget.factor or 1.0) * before
        share = (total - ranks.saved(every, chosen)) / total
        tried.append(
            {
                "energy": energy,
                "macs_share": share,
                "p50_before_s": before,
                "p50_s": after,
                "keeps": after <= limit,
            }
        )
        if before <= limit:
            raise PassError(
                f"the model keeps the budget already: its p50 on '{budget.target}' is {before * 1e3:.4g} ms",
                where="factorize.latency",
                remedy="ask for less, or leave the pass out",
            )
        done = 0.3 + 0.5 * len(tried) / (_TRIALS + 1)
        context.progress(done, f"{share:.0%} of the MACs: p50 {after * 1e3:.4g} ms")
        return after <= limit

    if not keeps(0.0):
        last = tried[0]
        raise PassError(
            f"with the lowest allowed rank in every layer the p50 on '{budget.target}' is "
            f"{last['p50_s'] * 1e3:.4g} ms, {last['p50_s'] / last['p50_before_s']:.2f} of the "
            f"{last['p50_before_s'] * 1e3:.4g} ms before; the budget is {budget.said()}",
            where="factorize.latency",
            remedy="allow more, exclude fewer layers, or prune",
        )
    best, low, high = 0.0, least_macs(every, total), total
    for _ in range(_TRIALS):
        middle = (low + high) // 2
        energy = energy_for_macs(every, total, middle)
        if energy is None or middle in (low, high):
            break
        if keeps(energy):
            best, low = max(best, energy), middle
        else:
            high = middle
    return best, tried
