"""What layers in float cost: latency of the candidates, measured in turn on the recipe's INT8 targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import DeviceError, MissingError
from edgekit.passes.base import Context

if TYPE_CHECKING:
    from edgekit.model import Model

#: Two trials a target, one for all INT8 forms in turn and one for float, make six at most.
TARGETS = 3
FLOAT = "float"
NONE_KEPT = "none kept"


@dataclass
class Prices:
    """p50 in seconds by target and form, and why a target has none."""

    p50_s: dict[str, dict[str, float]] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    def ratio(self, form: str) -> float | None:
        """Latency over that with every layer in INT8: the geometric mean over targets."""
        ratios = [p50[form] / p50[NONE_KEPT] for p50 in self.p50_s.values()]
        return float(np.exp(np.mean(np.log(ratios)))) if ratios else None

    def pays(self, form: str) -> bool:
        """Whether it is faster than float on a target, or float was measured on none."""
        known = [p50[form] < p50[FLOAT] for p50 in self.p50_s.values() if FLOAT in p50]
        return any(known) or not known

    def described(self) -> dict[str, Any]:
        """For the record."""
        return {
            "p50_s": self.p50_s,
            "not_measured": self.not_measured,
            "method": "INT8 forms in turn, in fresh processes; float on its own right after, so less exact",
        }


def measure(forms: Mapping[str, Model], float_model: Model, context: Context) -> Prices:
    """Time ``forms`` (``NONE_KEPT`` among them) on up to ``TARGETS`` targets of the recipe that allow INT8."""
    from edgekit.measure.trial import float_precision

    found = Prices()
    for target in context.targets.values():
        if "int8" not in target.precisions:
            continue
        if context.trial is None:
            found.not_measured[target.name] = "no measurements outside a pipeline"
            continue
        if len(found.p50_s) == TARGETS:
            found.not_measured[target.name] = f"only {TARGETS} targets are measured while a pass works"
            continue
        try:
            times = context.trial(forms, target, "int8")
            precision = float_precision(target)
            if precision is not None:
                times |= context.trial({FLOAT: float_model}, target, precision)
        except (MissingError, DeviceError) as error:
            found.not_measured[target.name] = str(error)
            continue
        found.p50_s[target.name] = {name: float(np.median(np.concatenate(runs))) for name, runs in times.items()}
    return found
