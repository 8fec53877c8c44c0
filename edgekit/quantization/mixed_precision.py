"""``keep_float: auto``: layers go back to float until the recipe's gates hold, at the lowest measured latency."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.passes.base import Context
from edgekit.quantization import price, sensitivity
from edgekit.quantization.give_back import Found, Kept, Problem, Row, orders, search
from edgekit.quantization.partial import Deltas, Partial
from edgekit.quantization.price import NONE_KEPT
from edgekit.quantization.program import Range
from edgekit.quantization.scheme import Scheme
from edgekit.quantization.settings import Calibration

if TYPE_CHECKING:
    import torch

    from edgekit.model import Model

_HALF = "the first half by harm"


@dataclass(frozen=True)
class Forms:
    """A float model and how its quantized forms are made, by the layers that they keep in float.

    Attributes:
        model: the float model.
        spans: ranges of its activations.
        scheme: granularity and symmetry.
        build: the form as a model, its biases corrected and rounded.
    """

    model: Model
    spans: dict[str, Range]
    scheme: Scheme
    build: Callable[[Kept], Model]

    def shifts(self, kept: Kept) -> Deltas:
        """What correction and rounding added to the biases of a form, by layer."""
        before = dict(self.model.network.named_parameters(remove_duplicate=False))
        after = dict(self.build(kept).network.named_parameters(remove_duplicate=False))
        suffix = ".bias"
        return {
            name.removesuffix(suffix): (one - before[name]).detach().numpy()
            for name, one in after.items()
            if name.endswith(suffix) and not bool((one == before[name]).all())
        }


def examine(
    forms: Forms, settings: Calibration, keep_float: Kept, correct_on: torch.Tensor | None, context: Context
) -> tuple[Kept, dict[str, Any]]:
    """Analyse the layers, and choose those to keep in float where the recipe says ``auto``.

    Args:
        forms: the model.
        settings: of the pass.
        keep_float: layers that the recipe names.
        correct_on: training images on which biases are corrected; none where they are not.
        context: data, gates, targets and the trial.

    Returns:
        The layers to keep, and ``sensitivity`` and ``mixed_precision`` for the record.
    """
    import torch

    images = sensitivity.choose(context.data, sensitivity.how_many(settings, context.data))
    inputs = torch.from_numpy(context.data.inputs("val", images.indices))
    partial = Partial(forms.model, forms.spans, forms.scheme, len(inputs))
    table, reference = sensitivity.analyse(partial, images, inputs, correct_on, forms.shifts(()), context.progress)
    changes: dict[str, Any] = {"sensitivity": table}
    if settings.keep_float == "auto":

        def score(kept: Kept) -> dict[str, float | None]:
            return sensitivity.figures(partial.together(inputs, kept, forms.shifts(kept)), reference, images)

        keep_float, changes["mixed_precision"] = _choose(forms, table, score, context)
    for row in table["layers"]:
        row["kept_float"] = row["layer"] in keep_float
    return keep_float, changes


def _choose(
    model: Forms, table: dict[str, Any], score: Callable[[Kept], Row], context: Context
) -> tuple[Kept, dict[str, Any]]:
    """The layers to keep in float, and how they were found.

    Candidates are what ``give_back.search`` finds by harm, the same by harm for each multiply-add, and the first
    half of the former. Of those that hold the gates on validation data and are faster than float on some target,
    the fastest is taken; where nothing can be measured, the one with the fewest multiply-adds in float.
    """
    from edgekit.recipe import Gates

    gates = context.gates or Gates()
    dense = model.model.task == "segmentation"
    problem = Problem(
        functools.cache(score),
        table["all_float"]["mean_dice" if dense else "accuracy"],
        gates,
        {row["layer"]: row["macs_share"] for row in table["layers"]},
        dense,
        table["all_float"],
    )
    ways = {how: search(problem, order) for how, order in orders(table).items()}
    first = next(iter(ways.values()))
    tried: dict[str, Kept] = {NONE_KEPT: ()}
    for how, found in ways.items():
        tried[how] = problem.ordered(found.layers)
    if len(first.layers) > 1:
        tried[_HALF] = problem.ordered(first.layers[: len(first.layers) // 2])
    forms: dict[str, Kept] = {}
    for how, layers in tried.items():
        # One that holds the gates makes those needless that keep the same layers and more.
        needless = any(set(one) <= set(layers) and problem.holds(one) for one in forms.values())
        if layers not in forms.values() and not needless:
            forms[how] = layers
    prices = price.Prices()
    if len(forms) > 1:
        prices = price.measure({how: model.build(kept) for how, kept in forms.items()}, model.model, context)
    chosen, verdict = _decide(problem, forms, prices)
    kept = forms[chosen]
    way = ways.get(chosen, first)
    return kept, {
        "asked": "auto",
        "gates": problem.limits,
        "judged_on": f"{table['images']} {'windows' if dense else 'images'} of the split 'val', against the float "
        "model before this pass",
        "gates_hold": problem.holds(kept),
        "verdict": verdict,
        "chosen": chosen,
        "given_back": [step for step in way.steps if step["layer"] in kept],
        "not_given_back": _refused(way, kept),
        "forms": {
            how: {
                "kept_float": list(layers),
                "macs_in_float": problem.macs(layers),
                **problem.figures(layers),
                "gates_hold": problem.holds(layers),
                "latency_ratio": prices.ratio(how),
            }
            for how, layers in forms.items()
        },
        "latency": prices.described(),
    }


def _decide(problem: Problem, forms: dict[str, Kept], prices: price.Prices) -> tuple[str, str]:
    """The form to take, and why in a sentence."""
    if problem.holds(()):
        return NONE_KEPT, "the gates hold on validation data with every layer in INT8"

    def cost(how: str) -> tuple[float, float]:
        return prices.ratio(how) or 0.0, problem.macs(forms[how])

    measured = bool(prices.p50_s)
    holding = sorted((how for how in forms if problem.holds(forms[how])), key=cost)
    paying = [how for how in holding if prices.pays(how)]
    by = "the lowest measured latency" if measured else "the fewest multiply-adds in float (nothing was measured)"
    if paying:
        among = f" of {len(paying)} forms that hold them" if len(paying) > 1 else ""
        return paying[0], f"the gates hold on validation data, at {by}{among}"
    if holding and not prices.pays(NONE_KEPT):
        return holding[0], (
            "the gates hold on validation data; on the targets measured INT8 is no faster than float, "
            "with or without layers in float"
        )
    left = [how for how in forms if prices.pays(how)] or [NONE_KEPT]
    best = min(left, key=lambda how: (problem.kl(forms[how]), cost(how)))
    if holding:
        return best, (
            "the gates do NOT hold on validation data: with the layers in float that they need, the network is no "
            "faster than in float; this is the closest to float of the forms that are faster"
        )
    return best, (
        "the gates do NOT hold on validation data with any layers that could be given back; this is the closest to "
        "float of the forms that were tried"
    )


def _refused(way: Found, kept: Kept) -> list[dict[str, str]]:
    others = [step["layer"] for step in way.steps if step["layer"] not in kept]
    known = {row["layer"] for row in way.refused}
    late = [{"layer": name, "why": "not in the form that was chosen"} for name in others if name not in known]
    return [*way.refused, *late]
