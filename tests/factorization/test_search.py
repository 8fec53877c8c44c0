from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from edgekit import counts, target
from edgekit.data.prepared import Prepared
from edgekit.factorization import ranks, search
from edgekit.model import Model
from edgekit.passes import Context, Factorize, PassError
from edgekit.target import Precision, Target


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 48, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(48, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 2),
    ).eval()


@pytest.fixture
def model() -> Model:
    return Model("module", {}, 2, (3, 8, 8), "tests:network", (), network())


class Clock:
    """Stands for a machine whose latency is a fixed part and the MACs, at 1 GMAC a second."""

    def __init__(self, fixed_s: float) -> None:
        self.fixed_s = fixed_s
        self.calls: list[tuple[tuple[str, ...], str, Precision]] = []

    def __call__(
        self, models: Mapping[str, Model], target: Target, precision: Precision
    ) -> dict[str, list[list[float]]]:
        self.calls.append((tuple(models), target.name, precision))
        return {
            name: [[self.fixed_s + counts.macs(one.network, one.input_size) / 1e9] * 3] * 2
            for name, one in models.items()
        }


def context(trial: Clock | None, told: list[float] | None = None) -> Context:
    # Nothing but targets and trials is looked at.
    data: Prepared = None  # type: ignore[assignment]
    progress = [] if told is None else told
    return Context(
        data, lambda fraction, text: progress.append(fraction), targets={"cpu": target.load("cpu")}, trial=trial
    )


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_macs_budget_is_kept_and_used_up(model: Model, share: float) -> None:
    before = counts.macs(model.network, model.input_size)
    outcome = Factorize(macs=share).apply(model, context(None))
    after = counts.macs(outcome.model.network, model.input_size)
    assert 0.6 * share < after / before <= share
    kept = outcome.changes["energy_threshold"]
    assert all(one["energy"] >= kept for one in outcome.changes["layers"].values())


def test_macs_budget_that_cannot_be_met_says_what_can(model: Model) -> None:
    with pytest.raises(PassError, match=r"0\.01 of the MACs cannot be reached.* 0\.\d+ are left"):
        Factorize(macs=0.01).apply(model, context(None))


@pytest.mark.parametrize("budget", [{"factor": 0.7}, {"ms": 1.0}])
def test_latency_budget_is_measured(model: Model, budget: dict[str, float]) -> None:
    clock = Clock(1e-4)
    told: list[float] = []
    before = 1e-4 + counts.macs(model.network, model.input_size) / 1e9
    limit = budget["ms"] / 1e3 if "ms" in budget else budget["factor"] * before
    outcome = Factorize.model_validate({"latency": {"target": "cpu", **budget}}).apply(model, context(clock, told))
    after = 1e-4 + counts.macs(outcome.model.network, model.input_size) / 1e9
    assert 0.7 * limit < after <= limit
    assert set(clock.calls) == {(("before", "after"), "cpu", "fp32")}
    assert told == sorted(told)
    assert told[-1] == 1.0
    trials = outcome.changes["trials"]
    assert len(trials) == len(clock.calls)
    assert outcome.changes["energy_threshold"] == max(one["energy"] for one in trials if one["keeps"])
    assert all(one["keeps"] == (one["p50_s"] <= limit) for one in trials)


def test_latency_budget_that_cannot_be_met_says_what_can(model: Model) -> None:
    with pytest.raises(
        PassError, match=r"the p50 on 'cpu' is .* ms, 0\.9\d of the .* ms before; the budget is 0\.5"
    ):
        Factorize.model_validate({"latency": {"target": "cpu", "factor": 0.5}}).apply(model, context(Clock(0.02)))


def test_latency_budget_that_is_kept_already(model: Model) -> None:
    with pytest.raises(PassError, match=r"keeps the budget already.*leave the pass out"):
        Factorize.model_validate({"latency": {"target": "cpu", "ms": 5000}}).apply(model, context(Clock(1.0)))


def test_latency_needs_a_known_target_that_can_be_measured(model: Model) -> None:
    config = Factorize.model_validate({"latency": {"target": "cpuu", "factor": 0.5}})
    with pytest.raises(
        PassError, match=r"'cpuu' is no target of the recipe, did you mean 'cpu'.*the recipe's targets: cpu"
    ):
        config.apply(model, context(Clock(0.0)))
    config = Factorize.model_validate({"latency": {"target": "cpu", "factor": 0.5}})
    with pytest.raises(PassError, match=r"outside of a pipeline.*give 'macs'"):
        config.apply(model, context(None))
    only_int8 = {"cpu": target.load("cpu").model_copy(update={"precisions": ("int8",)})}
    with pytest.raises(PassError, match="'cpu' runs INT8 only"):
        config.apply(model, Context(context(None).data, targets=only_int8, trial=Clock(0.0)))


def test_a_threshold_that_no_layer_limits() -> None:
    assert search.energy_for_macs([], 100, 100) == pytest.approx(1.0)
    assert search.energy_for_macs([], 100, 99) is None
    assert search.least_macs([], 100) == 100
    assert ranks.saved([], {}) == 0
