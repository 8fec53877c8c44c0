from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from edgekit import target
from edgekit.data.prepared import Prepared
from edgekit.errors import InputError
from edgekit.model import Model, create, logits
from edgekit.passes import Context, Factorize, FoldBatchnorm, PassError, Prune, Reparameterize
from edgekit.pruning.importance import taylor
from edgekit.recipe import ModelConfig
from edgekit.training.distillation import Distillation
from edgekit.training.recovery import Recovery

CPU = target.load("cpu")


def weights_of(model: Model) -> list[Tensor]:
    return [one.clone() for one in model.network.state_dict().values()]


@pytest.mark.parametrize(
    ("importance", "scope"),
    [("l1", "local"), ("l2", "global"), ("bn_scale", "global"), ("taylor", "global"), ("random", "local")],
)
def test_half_the_multiply_adds(importance: str, scope: str, resnet: Model, prepared: Prepared) -> None:
    config = Prune.model_validate({"macs": 0.5, "importance": importance, "scope": scope})
    before = weights_of(resnet)
    outcome = config.apply(resnet, Context(prepared))
    changes = outcome.changes
    assert 0.4 < changes["reached"]["macs"] <= 0.5
    assert changes["parameters"] == [resnet.parameter_count, outcome.model.parameter_count]
    assert changes["round_to"] == 8
    assert all(new % 8 == 0 and new < old for old, new in changes["channels"].values())
    assert "conv1.0" not in changes["channels"]
    assert "fc" not in changes["channels"]
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(resnet), strict=True)), (
        "the argument was changed"
    )
    assert not outcome.model.network.training
    again = config.apply(resnet, Context(prepared)).model
    assert all(torch.equal(a, b) for a, b in zip(weights_of(again), weights_of(outcome.model), strict=True))


def test_same_logits_in_a_fresh_process(
    resnet: Model, prepared: Prepared, images: NDArray[np.float32], tmp_path: Path
) -> None:
    pruned = Prune(ratio=0.5).apply(resnet, Context(prepared)).model
    pruned.save(tmp_path / "model")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, pathlib, numpy as np, torch\n"
        "from edgekit.model import Model, logits\n"
        "torch.set_num_threads(int(sys.argv[2])); at = pathlib.Path(sys.argv[1])\n"
        "np.save(at / 'logits.npy', logits(Model.load(at / 'model'), np.load(at / 'images.npy')))\n"
        "assert 'torch_pruning' not in sys.modules\n"
    )
    # Sums are in another order with another number of threads, which earlier tests may have set.
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(torch.get_num_threads())], check=True)
    assert np.array_equal(np.load(tmp_path / "logits.npy"), logits(pruned, images))


def test_edits_of_another_network_are_refused(resnet: Model, prepared: Prepared) -> None:
    edit = Prune(ratio=0.5).apply(resnet, Context(prepared)).model.edits[-1]
    assert edit["kind"] == "prune"
    with pytest.raises(InputError, match="the network has no module"):
        Prune.replay(nn.Sequential(nn.Conv2d(3, 8, 1)), edit)


def test_branches_still_merge(prepared: Prepared, images: NDArray[np.float32], tmp_path: Path) -> None:
    model, _ = create(ModelConfig(architecture="mobileone_s0"), prepared.classes, prepared.preprocessing, None)
    pruned = Prune(ratio=0.5).apply(model, Context(prepared)).model
    merged = Reparameterize().apply(pruned, Context(prepared)).model
    before, after = logits(pruned, images), logits(merged, images)
    assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()
    assert merged.parameter_count < 0.5 * model.parameter_count
    merged.save(tmp_path)
    assert np.array_equal(logits(Model.load(tmp_path), images), after)


def test_pruned_folded_and_exported(
    resnet: Model, prepared: Prepared, images: NDArray[np.float32], tmp_path: Path
) -> None:
    from onnxruntime import InferenceSession

    from edgekit import runtimes

    pruned = Prune(ratio=0.5).apply(resnet, Context(prepared)).model
    folded = FoldBatchnorm().apply(pruned, Context(prepared)).model
    artifact = runtimes.get("onnxruntime").export(folded, CPU, "fp32", tmp_path)
    session = InferenceSession(str(artifact.path), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: images[:1]})
    expected = logits(pruned, images[:1])
    assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()


def test_steps_with_recovery(resnet: Model, prepared: Prepared, images: NDArray[np.float32]) -> None:
    told: list[float] = []
    recovery = Recovery(epochs=1, batch_size=16, distillation=Distillation())
    config = Prune(macs=0.4, steps=2, recovery=recovery)
    outcome = config.apply(resnet, Context(prepared, lambda fraction, text: told.append(fraction)))
    one, two = outcome.changes["steps"]
    assert one["macs_after"] == two["macs_before"]
    assert two["macs_after"] <= 0.4 * one["macs_before"] < one["macs_after"]
    assert [len(step["recovery"]["history"]) for step in (one, two)] == [1, 1]
    assert told == sorted(told)
    assert told[-1] == 1.0
    rebuilt = config.apply(resnet, Context(prepared)).model
    assert np.array_equal(logits(rebuilt, images), logits(outcome.model, images)), "not deterministic"


def test_excluded_layers_keep_their_channels(resnet: Model, prepared: Prepared) -> None:
    changes = Prune(ratio=0.5, exclude=("layer1", "layer2.0.conv1")).apply(resnet, Context(prepared)).changes
    assert not any(name.startswith(("layer1", "layer2.0.conv1")) for name in changes["channels"])
    assert "layer1.0.conv1" in changes["excluded"]
    assert "which stays" in changes["left"]["layer1.0.conv1"]
    everywhere = Prune(ratio=0.5, keep_first=False).apply(resnet, Context(prepared)).changes
    assert "conv1.0" in everywhere["channels"]


def test_rounding_follows_the_targets(resnet: Model, prepared: Prepared) -> None:
    targets = {"cpu": CPU, "other": CPU.model_copy(update={"name": "other", "channels_multiple_of": 32})}
    changes = Prune(ratio=0.5).apply(resnet, Context(prepared, targets=targets)).changes
    assert changes["round_to"] == 32
    assert all(new % 32 == 0 for _, new in changes["channels"].values())


class FakeTrial:
    """Takes time in proportion to the parameters, and a machine that slows down from call to call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, models: Any, target: Any, precision: str) -> dict[str, list[list[float]]]:
        self.calls += 1
        assert precision == "fp32"
        return {name: [[model.parameter_count * 1e-8 * self.calls] * 3] for name, model in models.items()}


def test_latency_budget(resnet: Model, prepared: Prepared) -> None:
    trial = FakeTrial()
    context = Context(prepared, targets={"cpu": CPU}, trial=trial)
    config = Prune.model_validate({"latency": {"target": "cpu", "factor": 0.6}})
    changes = config.apply(resnet, context).changes
    assert 0.4 < changes["reached"]["parameters"] <= 0.6
    assert len(changes["budget"]["measured"]) == trial.calls
    with pytest.raises(PassError, match=r"latency of 0\.010 ms cannot be reached.*takes 0\.\d+ ms"):
        Prune.model_validate({"latency": {"target": "cpu", "ms": 0.01}}).apply(
            resnet, Context(prepared, targets={"cpu": CPU}, trial=FakeTrial())
        )


def test_latency_needs_a_target_and_a_trial(resnet: Model, prepared: Prepared) -> None:
    config = Prune.model_validate({"latency": {"target": "cqu", "factor": 0.6}})
    with pytest.raises(PassError, match=r"'cqu' is no target of the recipe, did you mean 'cpu'"):
        config.apply(resnet, Context(prepared, targets={"cpu": CPU}))
    config = Prune.model_validate({"latency": {"target": "cpu", "factor": 0.6}})
    with pytest.raises(PassError, match=r"outside of a pipeline.*give 'macs'"):
        config.apply(resnet, Context(prepared, targets={"cpu": CPU}))
    int8 = CPU.model_copy(update={"precisions": ("int8",)})
    with pytest.raises(PassError, match="runs INT8 only"):
        config.apply(resnet, Context(prepared, targets={"cpu": int8}, trial=FakeTrial()))


def test_taylor_against_the_gradient_of_gates(resnet: Model, prepared: Prepared) -> None:
    """What a channel gives times its gradient, summed: the gradient of a gate of 1 behind it."""
    name = "layer1.0.bn1"
    found = taylor(resnet.network, Context(prepared), seed=5)[name]
    network = resnet.copy().network
    gate = torch.ones(len(found), requires_grad=True)
    # timm's norm here is plain BatchNorm, so its output is what weight and bias scale.
    network.get_submodule(name).register_forward_hook(lambda layer, inputs, output: output * gate[:, None, None])
    labels = np.asarray(prepared.labels("train"))
    order = np.random.default_rng(5).permutation(len(labels))
    expected = torch.zeros(len(found))
    for chosen in np.array_split(order, 2):
        output = network(torch.from_numpy(prepared.inputs("train", np.sort(chosen))))
        loss = nn.functional.cross_entropy(output, torch.from_numpy(labels[np.sort(chosen)]))
        (slope,) = torch.autograd.grad(loss, gate)
        expected += slope.square() / 2
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-10)


def test_weights_of_two_in_four(resnet: Model, prepared: Prepared, tmp_path: Path) -> None:
    config = Prune(unstructured="2:4", recovery=Recovery(epochs=1, batch_size=16))
    outcome = config.apply(resnet, Context(prepared))
    changes = outcome.changes
    assert "no speed is expected" in changes["note"]
    assert changes["zeros"] * 2 == changes["weights"]
    for name in changes["layers"]:
        weight = outcome.model.network.get_parameter(f"{name}.weight")
        blocks = weight.detach().movedim(1, -1).reshape(-1, 4)
        assert int((blocks != 0).sum(1).max()) == 2
    assert not {"conv1.0", "fc"} & {*changes["layers"]}
    assert outcome.model.edits == resnet.edits
    assert not torch.equal(*(m.network.get_parameter("fc.weight") for m in (resnet, outcome.model))), "not trained"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one budget of 'ratio', 'macs' and 'latency' .none is given"),
        ({"ratio": 0.5, "macs": 0.5}, "exactly one budget.*not ratio and macs"),
        ({"ratio": 0.0}, "greater than 0"),
        ({"ratio": 1.0}, "less than 1"),
        ({"macs": 1.2}, "less than 1"),
        ({"ratio": 0.95}, "'ratio' 0.95 is above 'max_ratio' 0.9"),
        ({"latency": {"target": "cpu"}}, "exactly one of 'factor' and 'ms'"),
        ({"latency": {"target": "cpu", "factor": 0.5, "ms": 1.0}}, "exactly one of 'factor' and 'ms'"),
        ({"macs": 0.5, "steps": 3}, "'steps' without 'recovery'"),
        ({"unstructured": "4:2"}, "'4:2' is no N:M"),
        ({"unstructured": "2:4", "ratio": 0.5}, "goes without 'ratio'"),
        ({"unstructured": "2:4", "scope": "global"}, "goes without 'scope'"),
        ({"macs": 0.5, "importance": "l3"}, "importance"),
    ],
)
def test_impossible_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Prune.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"macs": 0.001}, r"0\.001 of the multiply-adds cannot be reached: the strongest.*keeps 0\.\d+"),
        ({"ratio": 0.01}, "no channel would go.*multiples of 8"),
        ({"ratio": 0.5, "round_to": 256}, "nothing in this network can be pruned.*too few.*lower 'round_to'"),
        ({"ratio": 0.5, "exclude": ["layer1.0.conv9"]}, r"'layer1.0.conv9' is no layer.*nearest: layer1.0.conv"),
        ({"ratio": 0.5, "exclude": ["layer1.0.bn1"]}, "'layer1.0.bn1' has no convolution or linear layer"),
        (
            {"ratio": 0.5, "exclude": ["conv1", "layer1", "layer2", "layer3", "layer4"]},
            "which stays.*exclude fewer layers",
        ),
    ],
)
def test_what_cannot_be_done(values: dict[str, object], message: str, resnet: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match=message):
        Prune.model_validate(values).apply(resnet, Context(prepared))


def test_scale_of_batchnorm_needs_batchnorm(resnet: Model, prepared: Prepared) -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 2, 30), nn.Flatten()).eval()
    with pytest.raises(PassError, match=r"no BatchNorm whose scale.*use 'l2'"):
        Prune(ratio=0.5, importance="bn_scale").apply(replace(resnet, network=network), Context(prepared))


def test_orders_that_cannot_be() -> None:
    assert set(Prune.not_after) == {"quantize", "qat", "fold_batchnorm"}


@pytest.mark.parametrize("prune_first", [False, True])
def test_together_with_factorize(
    prune_first: bool, resnet: Model, prepared: Prepared, images: NDArray[np.float32], tmp_path: Path
) -> None:
    passes = (Prune(ratio=0.5), Factorize(energy=0.6)) if prune_first else (Factorize(energy=0.6), Prune(ratio=0.5))
    model = resnet
    for one in passes:
        model = one.apply(model, Context(prepared)).model
    assert [edit["kind"] for edit in model.edits] == [one.kind for one in passes]
    assert model.parameter_count < 0.6 * resnet.parameter_count
    model.save(tmp_path)
    assert np.array_equal(logits(Model.load(tmp_path), images), logits(model, images))
