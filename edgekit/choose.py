"""Which artifact to use on each target: the fastest that passed its gates, by measurement.

Two are compared within each round of the measurement, so that a machine that changes its speed between the rounds
does not choose.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.evaluate.statistics import speedup_in_turn
from edgekit.record import Artifact, Measurement

#: From the most precise; where the speeds cannot be told apart, the earlier is taken.
_PRECISION = ("fp32", "fp16", "bf16", "int8")
#: What could be so many times faster than the artifact that would be recommended is worth more rounds.
_MATTERS = 1.03


def recommend(artifacts: Sequence[Artifact], measurements: Sequence[Measurement]) -> list[Artifact]:
    """Mark the artifact to use on each target, and say of each why it is or is not the one."""
    times = latencies(artifacts, measurements)
    chosen: dict[str, Artifact] = {}
    for one in sorted(artifacts, key=_precise_first):
        if not _eligible(one, times):
            continue
        best = chosen.get(one.target)
        if best is None or _beats(one, best, times):
            chosen[one.target] = one
    return [_advise(one, chosen.get(one.target), times) for one in artifacts]


def undecided(artifacts: Sequence[Artifact], measurements: Sequence[Measurement]) -> set[str]:
    """The artifacts to measure more: those recommended by now, and what the noise allows to be clearly faster."""
    times = latencies(artifacts, measurements)
    found: set[str] = set()
    for best in recommend(artifacts, measurements):
        if not best.recommended:
            continue
        rivals = {
            one.name
            for one in artifacts
            if one.target == best.target
            and one.name != best.name
            and _eligible(one, times)
            and speedup_in_turn(times[best.name], times[one.name])[2] > _MATTERS
        }
        if rivals:
            found |= {best.name, *rivals}
    return found


def _eligible(one: Artifact, times: dict[str, list[list[float]]]) -> bool:
    return one.runtime != "torch_eager" and one.status == "accepted" and bool(times[one.name])


def _beats(one: Artifact, best: Artifact, times: dict[str, list[list[float]]]) -> bool:
    """Whether the interval of the ratio leaves 1 out; among equals in precision a ratio above 1 is enough."""
    ratio, low, _ = speedup_in_turn(times[best.name], times[one.name])
    return low > 1 or (ratio > 1 and _precise_first(one) == _precise_first(best))


def latencies(artifacts: Sequence[Artifact], measurements: Sequence[Measurement]) -> dict[str, list[list[float]]]:
    """Latency samples in seconds by artifact, one list a process, of the last session of each target.

    Sessions are neither pooled nor compared: the machine's speed may have changed between them, or the machine.
    What was not measured in the session in which its target was measured last has no samples.
    """
    found = [one for one in measurements if one.metric == "latency_s" and one.samples is not None]
    targets = {one.name: one.target for one in artifacts}
    last = {targets[one.artifact]: one.conditions.get("session") for one in found if one.artifact in targets}
    times: dict[str, list[list[float]]] = {one.name: [] for one in artifacts}
    for one in found:
        if one.artifact in targets and one.conditions.get("session") == last[targets[one.artifact]]:
            times[one.artifact].append(list(one.samples or ()))
    return times


def _advise(one: Artifact, best: Artifact | None, times: dict[str, list[list[float]]]) -> Artifact:
    if one.runtime == "torch_eager":
        return one
    if best is None:
        text = f"not recommended: {one.status}" if one.status != "accepted" else "not measured"
        return one.model_copy(update={"advice": text})
    if one.name == best.name:
        return one.model_copy(update={"recommended": True, "advice": "the fastest on its target that passed"})
    if one.status != "accepted":
        return one.model_copy(update={"advice": f"not recommended: {one.status}"})
    if not times[one.name]:
        return one.model_copy(update={"advice": "not recommended: not measured in the same session"})
    ratio, low, high = speedup_in_turn(times[best.name], times[one.name])
    if low <= 1 <= high:
        text = f"not recommended: as fast as {best.name} within the noise ({low:.2f} to {high:.2f} times)"
        if _precise_first(one) > _precise_first(best):
            text += ", and less precise"
    elif ratio < 1:
        text = f"not recommended: {1 / ratio:.2f} ({1 / high:.2f} to {1 / low:.2f}) times slower than {best.name}"
    else:
        text = f"not recommended: {best.name} is as fast within the noise"
    return one.model_copy(update={"advice": text})


def _precise_first(one: Artifact) -> int:
    return _PRECISION.index(one.precision_requested) if one.precision_requested in _PRECISION else len(_PRECISION)
