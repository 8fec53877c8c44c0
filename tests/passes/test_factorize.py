from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from edgekit import counts, target
from edgekit.data.prepared import Prepared
from edgekit.errors import InputError
from edgekit.factorization import factors
from edgekit.model import Model, create, logits
from edgekit.passes import Context, Factorize, FoldBatchnorm, Outcome, PassError, Quantize
from edgekit.quantization import placement, program
from edgekit.recipe import ModelConfig


class Widening(nn.Module):
    """Convolutions of every kind that is factorized, BatchNorm, a residual sum and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.spatial, self.norm = nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        self.dilated = nn.Conv2d(32, 32, 3, padding=2, dilation=2)
        self.depthwise = nn.Conv2d(32, 32, 3, 1, 1, groups=32)
        self.point, self.point_norm = nn.Conv2d(32, 64, 1, bias=False), nn.BatchNorm2d(64)
        self.hidden = nn.Linear(64, 64)
        self.head = nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.spatial(self.stem(x).relu())).relu()
        x = x + self.dilated(x)
        x = self.point_norm(self.point(self.depthwise(x).relu())).relu()
        logits: torch.Tensor = self.head(self.hidden(x.mean((2, 3))).relu())
        return logits


RANKS = {"spatial": (8, 16), "dilated": (16, 16), "point": (8,), "hidden": (8,)}


def low_rank() -> Model:
    """A network whose layers have the ranks ``RANKS``, so that they can be factorized without loss."""
    torch.manual_seed(0)
    network = Widening()
    with torch.no_grad():
        for name, ranks in RANKS.items():
            weight = network.get_parameter(f"{name}.weight")
            made, _ = factors.filled(network.get_submodule(name), ranks)
            weight.copy_(factors.product(made).reshape(weight.shape))
        for norm in (network.norm, network.point_norm):
            norm.running_mean = torch.randn(norm.num_features) / 4
            norm.running_var = torch.rand(norm.num_features) + 0.5
    return Model("module", {}, 2, (3, 32, 32), "tests:widening", (), network.eval())


def timm_model(architecture: str, prepared: Prepared, **arguments: Any) -> Model:
    config = ModelConfig(architecture=architecture, arguments=arguments)
    return create(config, prepared.classes, prepared.preprocessing, None)[0]


def close(after: NDArray[np.float32], before: NDArray[np.float32]) -> bool:
    return bool(np.abs(after - before).max() <= 1e-5 * np.abs(before).max())


@pytest.fixture(scope="module")
def lossless(prepared: Prepared) -> tuple[Model, Outcome]:
    model = low_rank()
    return model, Factorize(energy=0.999999).apply(model, Context(prepared))


def test_finds_the_ranks_and_keeps_the_logits(lossless: tuple[Model, Outcome], images: NDArray[np.float32]) -> None:
    model, outcome = lossless
    changes = outcome.changes
    assert {name: tuple(one["ranks"]) for name, one in changes["layers"].items()} == RANKS
    assert close(logits(outcome.model, images), logits(model, images))
    assert {type(outcome.model.network.get_submodule(name)) for name in RANKS} == {nn.Sequential}
    assert not any(isinstance(part, nn.Sequential) for part in model.network.modules()), "the argument was changed"
    assert set(changes["left"]) == {"stem", "depthwise", "head"}
    assert changes["rank_multiple_of"] == 8
    json.dumps(changes, allow_nan=False)


def test_the_figures_of_the_layers_are_those_of_the_network(lossless: tuple[Model, Outcome]) -> None:
    model, outcome = lossless
    layers = outcome.changes["layers"].values()
    saved = sum(one["macs_before"] - one["macs_after"] for one in layers)
    dropped = sum(one["parameters_before"] - one["parameters_after"] for one in layers)
    size = model.input_size
    assert saved == counts.macs(model.network, size) - counts.macs(outcome.model.network, size) > 0
    assert dropped == model.parameter_count - outcome.model.parameter_count > 0
    for one in layers:
        assert one["macs_after"] < one["macs_before"]
        assert one["relative_error"] < 1e-5
        assert one["energy"] == pytest.approx(1)


def test_batchnorm_folds_before_and_after(
    lossless: tuple[Model, Outcome], prepared: Prepared, images: NDArray[np.float32]
) -> None:
    model, outcome = lossless
    context = Context(prepared)
    then = FoldBatchnorm().apply(outcome.model, context)
    assert then.model.edits[-1]["pairs"] == [["spatial.expand", "norm"], ["point.expand", "point_norm"]]
    first = Factorize(energy=0.999999).apply(FoldBatchnorm().apply(model, context).model, context)
    for folded in (then.model, first.model):
        assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.network.modules())
        assert close(logits(folded, images), logits(model, images))


def test_the_quantized_program_of_a_factorized_network(
    lossless: tuple[Model, Outcome], prepared: Prepared, images: NDArray[np.float32]
) -> None:
    context = Context(prepared)
    folded = FoldBatchnorm().apply(lossless[1].model, context).model
    names = [placement.layer_name(one) for one in placement.compute_nodes(program.float_graph(folded))]
    assert {"spatial.reduce", "spatial.core", "spatial.expand", "hidden.reduce"} <= set(names)
    quantized = Quantize(images=8).apply(folded, context).model
    after = program.run(program.quantized_program(quantized, placement.PORTABLE), images)
    before = logits(folded, images)
    assert not np.array_equal(after, before), "nothing was quantized"
    assert np.abs(after - before).max() < 0.1 * np.abs(before).max()


@pytest.mark.parametrize(
    ("architecture", "arguments", "left"),
    [
        ("resnet18", {}, {"conv1", "fc"}),
        (
            "vit_tiny_patch16_224",
            {"img_size": 32, "depth": 2, "embed_dim": 48},
            {"patch_embed.proj", "head"},
        ),
    ],
)
def test_timm_networks(
    architecture: str,
    arguments: dict[str, Any],
    left: set[str],
    prepared: Prepared,
    images: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    model = timm_model(architecture, prepared, **arguments)
    outcome = Factorize(ratio=0.5).apply(model, Context(prepared))
    assert set(outcome.changes["left"]) == left
    assert all(one["macs_after"] <= 0.5 * one["macs_before"] for one in outcome.changes["layers"].values())
    assert all(rank % 8 == 0 for one in outcome.changes["layers"].values() for rank in one["ranks"])
    after = logits(outcome.model, images)
    outcome.model.save(tmp_path)
    np.save(tmp_path / "images.npy", images)
    if architecture == "resnet18":
        assert np.array_equal(logits(Model.load(tmp_path), images), after)
        return
    code = (
        "import sys, numpy as np; from pathlib import Path; from edgekit.model import Model, logits\n"
        "folder = Path(sys.argv[1]); images = np.load(folder / 'images.npy')\n"
        "np.save(folder / 'logits.npy', logits(Model.load(folder), images))"
    )
    threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"
    subprocess.run([sys.executable, "-c", threads + code, str(tmp_path)], check=True)
    assert np.array_equal(np.load(tmp_path / "logits.npy"), after)


def test_a_layer_that_the_network_looks_at_is_left(prepared: Prepared) -> None:
    # BEiT multiplies by the weight of its 'qkv' itself.
    arguments = {"img_size": 32, "depth": 1, "embed_dim": 48, "num_heads": 3}
    model = timm_model("beit_base_patch16_224", prepared, **arguments)
    outcome = Factorize(ratio=0.6).apply(model, Context(prepared))
    assert "did not run as a layer" in outcome.changes["left"]["blocks.0.attn.qkv"]
    assert set(outcome.changes["layers"]) == {"blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2"}


def test_ranks_follow_the_targets(prepared: Prepared) -> None:
    cpu = target.load("cpu")
    targets = {
        "narrow": cpu.model_copy(update={"channels_multiple_of": 4}),
        "wide": cpu.model_copy(update={"channels_multiple_of": 16}),
    }
    changes = Factorize(energy=0.999999).apply(low_rank(), Context(prepared, targets=targets)).changes
    assert changes["rank_multiple_of"] == 16
    # 'spatial' has 16 input channels, which then stay whole; 'hidden' needs 8 and is rounded up.
    assert changes["layers"]["spatial"]["ranks"] == [16, 16]
    assert changes["layers"]["hidden"]["ranks"] == [16]
    assert "takes rank 16, which costs 75% of its MACs (less than 75% pays)" in changes["left"]["point"]


def test_layers_that_do_not_pay_are_left(prepared: Prepared) -> None:
    torch.manual_seed(0)
    model = low_rank()
    full = model.copy()
    with torch.no_grad():
        full.network.get_parameter("point.weight").normal_()
    changes = Factorize(energy=0.99).apply(full, Context(prepared)).changes
    assert "does not pay: to keep 0.99 of its energy takes rank 32, which costs 150%" in changes["left"]["point"]
    with pytest.raises(PassError, match=r"none of the \d+ layers can be factorized with gain, such as 'spatial'"):
        Factorize(ratio=0.01).apply(model, Context(prepared))


def test_exclude(prepared: Prepared) -> None:
    outcome = Factorize(ratio=0.7, exclude=("dilated", "hidden")).apply(low_rank(), Context(prepared))
    assert set(outcome.changes["layers"]) == {"spatial", "point"}
    with pytest.raises(PassError, match=r"factorize\.exclude: 'dilatedd' is no layer.*nearest: dilated"):
        Factorize(ratio=0.7, exclude=("dilatedd",)).apply(low_rank(), Context(prepared))


def test_recovery_trains_the_factors(prepared: Prepared) -> None:
    settings = {"ratio": 0.5, "recovery": {"epochs": 1, "batch_size": 8, "distillation": {}}}
    model = low_rank()
    before = [one.clone() for one in model.network.state_dict().values()]
    plain = Factorize(ratio=0.5).apply(model, Context(prepared)).model
    outcome = Factorize.model_validate(settings).apply(model, Context(prepared))
    assert outcome.changes["recovery"]["epochs_run"] == 1
    assert outcome.model.edits == plain.edits
    trained = outcome.model.network.get_parameter("dilated.core.weight")
    assert not torch.equal(trained, plain.network.get_parameter("dilated.core.weight"))
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "layers",
    [
        {"nothing": {"method": "svd", "ranks": [8]}},
        {"hidden": {"method": "tucker2", "ranks": [8, 8]}},
        {"hidden": {"method": "svd", "ranks": [1_000_000_000]}},
        {"hidden": {"method": "svd", "ranks": ["many"]}},
        {"hidden": {"method": "svd"}},
        {"hidden": 3},
        {"depthwise": {"method": "tucker2", "ranks": [8, 8]}},
        [],
    ],
)
def test_an_altered_edit_is_refused(layers: object) -> None:
    with pytest.raises(InputError, match=r"cannot be factorized so: .*the model was altered"):
        Factorize.replay(low_rank().network, {"kind": "factorize", "layers": layers})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "give exactly one of 'energy', 'ratio', 'macs' and 'latency', not none"),
        ({"energy": 0.9, "macs": 0.5}, "not energy and macs"),
        ({"energy": 1.0}, "less than 1"),
        ({"ratio": 0}, "greater than 0"),
        ({"macs": 1.5}, "less than 1"),
        ({"latency": {"target": "cpu"}}, "give exactly one of 'factor' and 'ms'"),
        ({"latency": {"target": "cpu", "factor": 0.5, "ms": 3}}, "give exactly one of 'factor' and 'ms'"),
        ({"latency": {"target": "cpu", "factor": 1.2}}, "less than 1"),
        ({"energy": 0.9, "rank": 8}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Factorize.model_validate(values)


def test_numbers_that_are_not_finite(prepared: Prepared) -> None:
    model = low_rank()
    with torch.no_grad():
        model.network.get_parameter("dilated.weight")[0, 0, 0, 0] = float("nan")
    with pytest.raises(PassError, match=r"'dilated\.weight' holds numbers that are not finite"):
        Factorize(energy=0.9).apply(model, Context(prepared))
