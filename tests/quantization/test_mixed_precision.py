from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgekit.data.prepared import Prepared
from edgekit.errors import MissingError
from edgekit.model import Model
from edgekit.passes import Context, Quantize
from edgekit.recipe import Gates
from edgekit.target import Precision, Target

GATES = Gates(int8_min_agreement=0.95, max_accuracy_drop=0.05)


def _target(name: str, *precisions: Precision) -> Target:
    return Target(
        schema_version=1, name=name, description=name, runtime="openvino", device="CPU", precisions=precisions
    )


TARGETS = {
    "one": _target("one", "fp32", "int8"),
    "float-only": _target("float-only", "fp32"),
    "elsewhere": _target("elsewhere", "int8"),
}


@dataclass
class Clock:
    """Latency by the number of layers in float, instead of measuring."""

    each_layer: float
    in_float: float
    asked: list[tuple[str, Precision, int]] = field(default_factory=list)

    def __call__(
        self, models: Mapping[str, Model], target: Target, precision: Precision
    ) -> dict[str, list[list[float]]]:
        if target.name == "elsewhere":
            raise MissingError("cannot be measured here: no such device", where=f"target '{target.name}'")
        self.asked.append((target.name, precision, len(models)))
        found = {}
        for name, model in models.items():
            kept = None if model.quantization is None else len(model.quantization["keep_float"])
            seconds = self.in_float if kept is None else 1.0 + self.each_layer * kept
            found[name] = [[seconds, seconds, seconds]] * 3
        return found


def _auto(model: Model, data: Prepared, gates: Gates, clock: Clock | None = None) -> tuple[Model, dict[str, Any]]:
    context = Context(data, gates=gates, targets=TARGETS, trial=clock)
    outcome = Quantize(keep_float="auto").apply(model, context)
    return outcome.model, outcome.changes


def test_the_awkward_layer_is_given_back_and_nothing_else(awkward: Model, data: Prepared) -> None:
    clock = Clock(each_layer=0.1, in_float=2.0)
    model, changes = _auto(awkward, data, GATES, clock)
    assert model.quantization is not None
    assert model.quantization["keep_float"] == changes["layers_kept_float"] == ["harmed"]
    assert changes["layers_quantized"] == 4
    mixed = changes["mixed_precision"]
    assert mixed["gates_hold"] is True
    assert [step["layer"] for step in mixed["given_back"]] == ["harmed"]
    assert mixed["forms"]["none kept"]["agreement"] < 0.6 < 0.95 <= mixed["given_back"][0]["agreement"]
    assert mixed["forms"][mixed["chosen"]]["latency_ratio"] == pytest.approx(1.1)
    assert mixed["latency"]["p50_s"]["one"]["float"] == 2.0
    assert "no such device" in mixed["latency"]["not_measured"]["elsewhere"]
    assert clock.asked == [("one", "int8", 2), ("one", "fp32", 1)]
    kept = [row["layer"] for row in changes["sensitivity"]["layers"] if row["kept_float"]]
    assert kept == ["harmed"]


def test_without_measurements_multiply_adds_are_the_price(awkward: Model, data: Prepared) -> None:
    _, changes = _auto(awkward, data, GATES)
    assert changes["layers_kept_float"] == ["harmed"]
    assert "nothing was measured" in changes["mixed_precision"]["verdict"]
    assert changes["mixed_precision"]["forms"]["by harm"]["latency_ratio"] is None


def test_it_stops_where_float_is_as_fast_and_says_so(awkward: Model, data: Prepared) -> None:
    _, changes = _auto(awkward, data, GATES, Clock(each_layer=1.5, in_float=2.0))
    assert changes["layers_kept_float"] == []
    assert changes["mixed_precision"]["gates_hold"] is False
    assert "no faster than in float" in changes["mixed_precision"]["verdict"]
    assert [row["layer"] for row in changes["mixed_precision"]["not_given_back"]] == ["harmed"]


def test_gates_that_cannot_be_held_are_said_to_be_lost(awkward: Model, data: Prepared) -> None:
    _, changes = _auto(awkward, data, Gates(int8_min_agreement=1.0, max_accuracy_drop=0.0))
    mixed = changes["mixed_precision"]
    assert mixed["gates_hold"] is False
    assert "NOT hold" in mixed["verdict"]
    assert "harmed" in changes["layers_kept_float"]
    assert mixed["forms"][mixed["chosen"]]["kl"] == min(form["kl"] for form in mixed["forms"].values())


def test_no_layer_goes_back_and_nothing_is_timed_where_the_gates_hold(awkward: Model, data: Prepared) -> None:
    clock = Clock(each_layer=0.1, in_float=2.0)
    _, changes = _auto(awkward, data, Gates(int8_min_agreement=0.0, max_accuracy_drop=1.0), clock)
    assert changes["layers_kept_float"] == []
    assert clock.asked == []
    assert "every layer in INT8" in changes["mixed_precision"]["verdict"]
