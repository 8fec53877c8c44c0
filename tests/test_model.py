from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from edgekit.data.base import Preprocessing
from edgekit.errors import InputError
from edgekit.model import Model, create, logits, settle
from edgekit.recipe import ModelConfig, Weights

CLASSES = ("a", "b", "c")
SPEC = Preprocessing(size=(32, 32))
IMAGES: NDArray[np.float32] = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
TIED = """
from pathlib import Path
from torch import nn

Path("imported").touch()

class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(in_channels, 8, 3), nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(self.two(self.one(self.conv(x).mean((2, 3))).relu()))
"""


def make(architecture: str = "test_resnet", seed: int = 0) -> Model:
    return create(ModelConfig(architecture=architecture, seed=seed), CLASSES, SPEC, None)[0]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"tied_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(TIED)
    monkeypatch.chdir(tmp_path)
    return f"{name}:Net"


def test_seed_decides_the_weights() -> None:
    state = torch.get_rng_state()
    one, same, other = (logits(make(seed=seed), IMAGES) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_bit_identical_in_a_fresh_process(tmp_path: Path) -> None:
    model = replace(make(), quantization={"conv1": [0.1, 2]})
    model.save(tmp_path)
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import sys, numpy as np, torch; from pathlib import Path; from edgekit.model import Model, logits\n"
        "torch.set_num_threads(int(sys.argv[2])); folder = Path(sys.argv[1]); model = Model.load(folder)\n"
        "np.save(folder / 'logits.npy', logits(model, np.load(folder / 'images.npy')))\n"
        "print(model.quantization, model.input_size, model.num_classes)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(torch.get_num_threads())]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert np.array_equal(np.load(tmp_path / "logits.npy"), logits(model, IMAGES))
    assert told == "{'conv1': [0.1, 2]} (3, 32, 32) 3\n"
    assert {file.name for file in tmp_path.iterdir()} >= {"model.json", "weights.safetensors"}


def test_module_runs_only_when_named(module: str, tmp_path: Path) -> None:
    config = ModelConfig(architecture="module")
    model, _ = create(config, CLASSES, SPEC, module)
    assert model.module_path == module
    model.save(tmp_path / "saved")
    (tmp_path / "imported").unlink()
    sys.modules.pop(module.split(":")[0])
    for named in (None, "other:Net"):
        with pytest.raises(
            InputError, match=rf"built by '{module}'.*if you trust that code, add --module {module}"
        ):
            Model.load(tmp_path / "saved", named)
    assert not (tmp_path / "imported").exists()
    loaded = Model.load(tmp_path / "saved", module)
    assert np.array_equal(logits(loaded, IMAGES), logits(model, IMAGES))
    assert loaded.network.get_parameter("one.weight") is loaded.network.get_parameter("two.weight")


def test_copy_is_independent() -> None:
    model = make()
    copied = model.copy()
    before = logits(model, IMAGES)
    with torch.no_grad():
        next(copied.network.parameters()).zero_()
    assert np.array_equal(logits(model, IMAGES), before)
    assert copied.parameter_count == model.parameter_count > 0


class Caching(torch.nn.Linear):
    """Keeps its weight, transposed, while in eval mode, as LeViT keeps its attention biases."""

    kept: torch.Tensor | None = None

    def train(self, mode: bool = True) -> Caching:
        self.kept = None if mode else self.kept
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = self.weight.t().clone() if self.kept is None else self.kept
        return x @ self.kept


def test_settle_forgets_what_was_computed_from_old_weights() -> None:
    network = Caching(2, 2).eval()
    x = torch.eye(2)
    with torch.no_grad():
        network(x)
        network.weight.fill_(3.0)
        assert not torch.equal(network(x), torch.full((2, 2), 3.0))
        assert torch.equal(settle(network)(x), torch.full((2, 2), 3.0))
    assert not network.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99 is unknown"),
        ({"edits": [{"kind": "import_os"}]}, "the edit 'import_os' is unknown"),
        ({"edits": [{"kind": "finetune"}]}, "the edit 'finetune' is unknown"),
        ({"edits": [{"kind": "reparameterize"}]}, "no branches to merge"),
        ({"edits": [{"kind": "fold_batchnorm", "pairs": [["fc", "conv9"]]}]}, "'conv9' cannot be folded into 'fc'"),
        ({"num_classes": 7}, "does not fit its description"),
        ({"architecture": "resnet_none"}, "unknown architecture"),
        ({"arguments": {"pretrained": True}}, "'pretrained' cannot be set here"),
        ({"edits": None}, "is no description of a model"),
        ({"input_size": [3, 32]}, "is no description of a model"),
    ],
)
def test_altered_description(change: dict[str, object], message: str, tmp_path: Path) -> None:
    make().save(tmp_path)
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=message):
        Model.load(tmp_path)


def test_missing_or_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model here"):
        Model.load(tmp_path)
    make().save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(InputError, match="no whole safetensors file"):
        Model.load(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match=r"weights.safetensors"):
        Model.load(tmp_path)
    (tmp_path / "model.json").write_text("[1]")
    with pytest.raises(InputError, match="is no description of a model"):
        Model.load(tmp_path)


def test_weights_are_loaded_and_reported(tmp_path: Path) -> None:
    trained = make(seed=5)
    file = tmp_path / "a.safetensors"
    save_file({f"module.{n}": t.contiguous() for n, t in trained.network.state_dict().items()}, file)
    model, report = create(ModelConfig(architecture="test_resnet", weights=Weights(path=file)), CLASSES, SPEC, None)
    assert np.array_equal(logits(model, IMAGES), logits(trained, IMAGES))
    assert report == {
        "path": str(file),
        "match": "name",
        "matched": len(trained.network.state_dict()),
        "missing": [],
        "left_out": [],
    }
    with pytest.raises(InputError, match=r"a.safetensors: the checkpoint has 3 classes, the recipe 2"):
        create(ModelConfig(architecture="test_resnet", weights=Weights(path=file)), ("a", "b"), SPEC, None)


@pytest.mark.parametrize(
    ("config", "size", "message"),
    [
        (
            ModelConfig(architecture="vit_tiny_patch16_224"),
            (32, 48),
            r"input.size: the network does not take an input of 3x32x48",
        ),
        (
            ModelConfig(architecture="test_resnet", arguments={"global_pool": ""}),
            (64, 64),
            r"the network does not take|must give logits \[2, 3\]",
        ),
    ],
)
def test_shapes_are_checked(config: ModelConfig, size: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create(config, CLASSES, Preprocessing(size=size), None)


def test_logits_in_batches() -> None:
    model = make()
    whole = logits(model, IMAGES)
    assert whole.shape == (5, 3)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(logits(model, IMAGES, batch=2), whole, rtol=1e-4, atol=1e-5)
    assert logits(model, IMAGES[:0]).shape == (0, 3)


def test_logits_must_be_finite() -> None:
    images = IMAGES.copy()
    images[3, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="the logits of 1 of 5 images are not finite, first those of image 3"):
        logits(make(), images)


def test_untrained_weights_have_no_branch_that_adds_nothing() -> None:
    def zeros(untrained: bool) -> list[str]:
        model, _ = create(ModelConfig(architecture="test_resnet", untrained=untrained), CLASSES, SPEC, None)
        named = model.network.named_parameters()
        return [name for name, one in named if not one.any() and not name.endswith("bias")]

    assert zeros(untrained=False), "training starts with such branches"
    assert zeros(untrained=True) == []
