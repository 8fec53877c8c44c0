"""What artifacts are compared with is exact where PyTorch's own float32 is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit import runtimes
from edgekit.exact_norms import ExactNorms
from edgekit.model import Model, logits
from tests.networks import cpu_target

SIDE = 128


def _flat_images() -> torch.Tensor:
    """Almost everywhere of one value, as the background of a medical image."""
    images = torch.full((2, 32, SIDE, SIDE), 3.1)
    part = 0.1 * torch.rand(2, 32, 40, 40, generator=torch.Generator().manual_seed(0))
    images[:, :, 40:80, 40:80] += part
    return images


class Normed(nn.Module):
    """By groups and by channels."""

    def __init__(self) -> None:
        super().__init__()
        self.groups, self.channels = nn.GroupNorm(16, 32), nn.InstanceNorm2d(32, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.groups(x) + self.channels(x)
        return found


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["network", "program"])
def test_normalization_is_that_of_float64(order: torch.memory_format, kind: str) -> None:
    network, images = Normed().eval(), _flat_images()
    wanted = Normed().eval().double()(images.double())
    if kind == "program":
        network = torch.export.export(network, (images,)).module()  # type: ignore[assignment]
    with torch.no_grad(), ExactNorms():
        found = network(images.contiguous(memory_format=order))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=2e-6, atol=2e-6)


def test_others_stay_as_they_are() -> None:
    halves = torch.ones(1, 4, 8, 8, dtype=torch.bfloat16)
    with ExactNorms():
        assert nn.functional.group_norm(halves, 2).dtype == torch.bfloat16
        assert nn.functional.group_norm(input=halves.float(), num_groups=2).dtype == torch.float32
        assert nn.functional.layer_norm(halves, (8,)).dtype == torch.bfloat16


class OneGroup(nn.Module):
    """The first pixel of each channel, in units of the image's standard deviation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.group_norm(x, 1)[:, :, 0, 0]


def test_the_source_answers_so_wherever_it_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images: NDArray[np.float32] = _flat_images()[:, :3].numpy()
    model = Model("module", {}, 3, (3, SIDE, SIDE), "tests:one_group", (), OneGroup().eval())
    wanted = OneGroup()(torch.from_numpy(images).double()).numpy()
    np.testing.assert_allclose(logits(model, images), wanted, rtol=1e-6, atol=0)
    monkeypatch.setattr(Model, "load", lambda path, module: model)
    session = runtimes.get("torch_eager").check(tmp_path, cpu_target("onnxruntime", "fp32"), "fp32")
    np.testing.assert_allclose(session.run(images), wanted, rtol=1e-6, atol=0)
