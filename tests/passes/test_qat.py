from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekit import runtimes
from edgekit.data.prepared import Prepared
from edgekit.model import Model, logits
from edgekit.passes import Context, Qat, Quantize, by_kind
from edgekit.quantization import placement, program
from edgekit.quantization.training_program import logits as fake_quantized
from edgekit.target import RuntimeName, Target
from edgekit.training.distillation import Distillation
from tests.networks import small_model

FAST: dict[str, Any] = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "images": 16}


@pytest.fixture(scope="module")
def small() -> Model:
    """The small network for the two classes of ``prepared``."""
    model = small_model()
    torch.manual_seed(1)
    model.network.head = nn.Linear(24, 2)
    return replace(model, num_classes=2)


def states(model: Model) -> dict[str, torch.Tensor]:
    return {name: one.clone() for name, one in model.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in other)


def test_folds_learns_and_says_so(resnet: Model, prepared: Prepared, tmp_path: Path) -> None:
    before = states(resnet)
    outcome = Qat(**{**FAST, "learning_rate": 3e-3}).apply(resnet, Context(prepared))
    model, changes = outcome.model, outcome.changes
    assert same(before, states(resnet)), "the argument was changed"
    assert changes["batchnorm"]["frozen"] == {}
    assert (
        changes["batchnorm"]["folded"] == model.edits[-1]["pairs"][0][1:] or len(changes["batchnorm"]["folded"]) > 5
    )
    assert not any(isinstance(one, nn.BatchNorm2d) for one in model.network.modules())
    assert changes["method"] == "QAT"
    assert changes["layers_quantized"] > 5
    assert changes["kept"] == f"epoch {changes['best_epoch']}"
    assert changes["best"]["validation_balanced_accuracy"] > changes["start"]["validation_balanced_accuracy"]
    assert changes["validation"]["fake_quantized"]["balanced_accuracy"] == pytest.approx(
        changes["best"]["validation_balanced_accuracy"]
    )
    assert json.loads(json.dumps(changes, allow_nan=False)) == changes
    model.save(tmp_path)
    inputs = prepared.inputs("val")
    assert np.array_equal(fake_quantized(Model.load(tmp_path), inputs), fake_quantized(model, inputs))


def test_ends_as_the_quantized_program_computes_it(small: Model, prepared: Prepared) -> None:
    outcome = Qat(**FAST).apply(small, Context(prepared))
    trained, start = states(outcome.model), states(small)
    weights = [name for name in start if name.endswith("weight")]
    assert not any(torch.equal(trained[name], start[name]) for name in weights), "a layer did not learn"
    inputs = prepared.inputs("val")
    given = fake_quantized(outcome.model, inputs)
    for style in (placement.PORTABLE, placement.Style("unsigned", unsigned=True, fold_weights=False)):
        wanted = program.run(program.quantized_program(outcome.model, style), inputs)
        assert np.abs(given - wanted).max() < 0.01 * wanted.std()
    assert outcome.changes["validation"]["argmax_agreement"] >= 0.75
    assert outcome.changes["ranges_wider_by"]["greatest"] > outcome.changes["ranges_wider_by"]["least"]


@pytest.mark.parametrize("weights", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("activations", ["asymmetric", "symmetric"])
def test_scheme_and_kept_layers(weights: str, activations: str, small: Model, prepared: Prepared) -> None:
    config = Qat.model_validate(
        {**FAST, "weights": weights, "activations": activations, "keep_float": ("stem",), "epochs": 1}
    )
    outcome = config.apply(small, Context(prepared))
    quantization = outcome.model.quantization
    assert quantization is not None
    assert (quantization["weights"], quantization["activations"]) == (weights, activations)
    assert quantization["keep_float"] == outcome.changes["layers_kept_float"] == ["stem"]
    assert outcome.changes["layers_quantized"] == 4
    made = program.quantized_program(outcome.model, placement.PORTABLE)
    nodes = [node for node in made.graph.nodes if "quantized_decomposed" in str(node.target)]
    by_channel = [node for node in nodes if str(node.target).endswith("dequantize_per_channel.default")]
    assert len(by_channel) == (4 if weights == "per_channel" else 0)
    zero_points = {node.args[2] for node in nodes if "per_tensor" in str(node.target)}
    assert (zero_points == {0}) == (activations == "symmetric")
    assert outcome.changes["activations"].startswith(f"8 bit, {activations}")


def test_ptq_is_kept_where_no_epoch_is_better(small: Model, prepared: Prepared) -> None:
    outcome = Qat(epochs=1, batch_size=16, learning_rate=1e-12, optimizer="sgd").apply(small, Context(prepared))
    start = Quantize().apply(small, Context(prepared)).model
    assert outcome.changes["kept"].startswith("PTQ, the start")
    assert same(states(outcome.model), states(start))
    assert outcome.model.quantization == {**(start.quantization or {}), "as_trained": True}
    assert "ranges_wider_by" not in outcome.changes


def test_takes_over_from_quantize(small: Model, prepared: Prepared) -> None:
    settings = Quantize(images=16, keep_float=("head",), weights="per_tensor")
    before = settings.apply(small, Context(prepared)).model
    fast = {name: value for name, value in FAST.items() if name != "images"}
    outcome = Qat(**fast).apply(before, Context(prepared))
    alone = Qat(**FAST, keep_float=("head",), weights="per_tensor").apply(small, Context(prepared))
    assert same(states(outcome.model), states(alone.model))
    assert outcome.model.quantization == alone.model.quantization
    assert outcome.changes["starts_from"] == "quantize"
    assert outcome.changes["calibration"]["images"] == 16


def test_settings_of_calibration_after_quantize_have_no_effect() -> None:
    said = Qat(weights="per_tensor").conflict(["fold_batchnorm", "quantize"])
    assert said is not None
    assert "'weights' can have no effect here; set it in 'quantize'" in said
    assert Qat(weights="per_tensor").conflict(["fold_batchnorm"]) is None
    assert Qat(epochs=3, seed=1).conflict(["quantize"]) is None


def test_ranges_stay_where_they_are_not_learned(small: Model, prepared: Prepared) -> None:
    outcome = Qat(**FAST, learn_ranges=False).apply(small, Context(prepared))
    start = Quantize(images=16).apply(small, Context(prepared)).model
    assert outcome.model.quantization is not None
    assert start.quantization is not None
    chosen = placement.tensors(program.float_graph(small), placement.PORTABLE)
    for name in set(chosen.values()):
        after, before = (
            program.activation_parameters(program.stored_ranges(one)[name])
            for one in (outcome.model.quantization, start.quantization)
        )
        assert after == pytest.approx(before)
    assert outcome.changes["trained_parameters"] == small.parameter_count


def test_same_seed_same_model(small: Model, prepared: Prepared) -> None:
    config = Qat(**FAST, distillation=Distillation(weight=0.7))
    one, two = (config.apply(small, Context(prepared)).model for _ in range(2))
    assert same(states(one), states(two))
    assert one.quantization == two.quantization
    other = Qat(**FAST).apply(small, Context(prepared)).model
    assert not same(states(one), states(other)), "the teacher taught nothing"


class AfterRelu(nn.Module):
    """A BatchNorm that has no layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.head = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(self.layer(x).relu()).mean((2, 3)))
        return logits


def test_batchnorm_that_cannot_fold_keeps_its_statistics(prepared: Prepared) -> None:
    torch.manual_seed(0)
    model = Model("module", {}, 2, (3, 32, 32), "x:y", (), AfterRelu().eval())
    before = states(model)
    outcome = Qat(**FAST).apply(model, Context(prepared))
    assert list(outcome.changes["batchnorm"]["frozen"]) == ["norm"]
    after = states(outcome.model)
    assert not torch.equal(after["norm.weight"], before["norm.weight"])
    for name in ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked"):
        assert torch.equal(after[name], before[name])


@pytest.mark.parametrize(
    ("name", "module"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino"), ("litert", "litert_torch")]
)
@pytest.mark.parametrize("scheme", [{}, {"weights": "per_tensor"}, {"activations": "symmetric"}])
def test_artifacts_agree_with_the_fake_quantized_model(
    name: RuntimeName, module: str, scheme: dict[str, Any], small: Model, prepared: Prepared, tmp_path: Path
) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    model = Qat(**FAST, **scheme).apply(small, Context(prepared)).model
    target = Target(
        schema_version=1,
        name="test",
        description="test",
        runtime=name,
        device="CPU",
        precisions=("int8",),
        threads=1,
    )
    runtime = runtimes.get(name)
    session = runtime.load(runtime.export(model, target, "int8", tmp_path).path, target, "int8")
    inputs = prepared.inputs("val")
    given = np.concatenate([session.run(one[None]).copy() for one in inputs])
    wanted = fake_quantized(model, inputs)
    assert session.executed().precision == "int8"
    assert np.abs(given - wanted).max() < 0.03 * np.abs(wanted).max()
    sure = np.abs(wanted[:, 0] - wanted[:, 1]) > 0.03 * np.abs(wanted).max()
    assert (given.argmax(1) == wanted.argmax(1))[sure].all()
    assert np.abs(wanted - logits(small, inputs)).max() > 0.1, "nothing was learned"


@pytest.mark.parametrize(
    "kind", ["qat", "quantize", "finetune", "reparameterize", "fold_batchnorm", "prune", "factorize", "distill"]
)
def test_what_may_not_follow(kind: str) -> None:
    kinds = by_kind()
    assert len(kinds[kind].not_after["qat"]) > 10
    assert "quantize" not in Qat.not_after


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"freeze": "backbone"}, "'freeze' does not go with 'qat'"),
        ({"distillation": {"features": "auto"}}, "'distillation.features' does not go with 'qat'"),
        ({"weights": "per_row"}, "per_channel"),
        ({"images": 2}, "greater than or equal to 8"),
    ],
)
def test_impossible_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Qat.model_validate(values)


@pytest.mark.parametrize(
    ("figure", "loss", "accuracy", "better"),
    [
        (0.5, 9.0, 0.1, True),
        (0.3, 1.0, 0.9, False),
        (1 / 3, 1.0, 0.85, True),
        (1 / 3, 1.0, 0.075, False),  # another constant class
        (1 / 3, 3.0, 0.9, False),
        (float("nan"), 1.0, 0.9, False),
    ],
)
def test_an_epoch_of_the_same_figure_needs_a_lower_loss_and_no_lower_accuracy(
    figure: float, loss: float, accuracy: float, better: bool
) -> None:
    def figures(figure: float, loss: float, accuracy: float) -> dict[str, float]:
        return {
            "validation_balanced_accuracy": figure,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
        }

    start = figures(1 / 3, 2.0, 0.85)
    assert Qat()._better(figures(figure, loss, accuracy), start) is better
