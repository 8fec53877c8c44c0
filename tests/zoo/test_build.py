from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from edgekit import zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier, torchvision_shim, user_module

NETWORK = """
from torch import nn

class Small(nn.Module):
    def __init__(self, num_classes, in_channels, width=4):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))

def broken(num_classes, in_channels):
    raise KeyError("widths")

def text(num_classes, in_channels):
    return "no network"

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a name of its own in the working folder."""
    name = f"nets_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return name


def test_timm_by_name() -> None:
    network = zoo.build("test_resnet", {"drop_rate": 0.1}, 5, 1, None).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
    assert classifier.names(network, 5) == ("fc",)
    assert "mobileone_s0" in zoo.names()


def test_users_module(module: str) -> None:
    path = list(sys.path)
    network = zoo.build("module", {"width": 6}, 5, 1, f"{module}:Small")
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)
    assert classifier.names(network, 5) == ("head",)
    assert sys.path == path


@pytest.mark.parametrize(
    ("architecture", "arguments", "call", "message"),
    [
        ("mobileone_s", {}, None, "unknown architecture 'mobileone_s', did you mean mobileone_s"),
        ("hf-hub:timm/resnet18", {}, None, "unknown architecture"),
        ("test_resnet", {"pretrained": True}, None, "model.arguments.pretrained: 'pretrained' cannot be set here"),
        ("test_resnet", {"checkpoint_path": "a.pth"}, None, "give the file in 'model.weights'"),
        ("test_resnet", {"num_classes": 4}, None, "it is the number of 'task.classes'"),
        ("test_resnet", {"widht": 4}, None, "timm cannot build 'test_resnet' with these arguments.*widht"),
        ("module", {}, None, "add --module package.module:callable"),
        ("module", {}, "no colon", "'no colon' is not of the form package.module:callable"),
        ("module", {}, "os;rm:x", "is not of the form"),
        (
            "module",
            {},
            "absent_package_x:Net",
            "'absent_package_x' cannot be imported.*start edgekit in the folder",
        ),
        ("module", {}, "{}:Smal", "has no 'Smal'.*it offers: Small"),
        ("module", {}, "{}:number", "cannot be called"),
        ("module", {}, "{}:broken", "failed: KeyError: 'widths'"),
        ("module", {}, "{}:text", "returned str, not an nn.Module"),
        ("module", {"depth": 3}, "{}:Small", "failed: TypeError.*depth"),
        ("module", {"num_classes": 3}, "{}:Small", "model.arguments.num_classes: 'num_classes' cannot be set here"),
    ],
)
def test_refusals(
    architecture: str, arguments: dict[str, object], call: str | None, message: str, module: str
) -> None:
    with pytest.raises(InputError, match=message):
        zoo.build(architecture, arguments, 3, 3, call.format(module) if call else None)


def test_entry_point(module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    points = {
        name: metadata.EntryPoint(name, f"{module}:{target}", user_module.GROUP)
        for name, target in (("mine", "Small"), ("gone", "Absent"))
    }
    monkeypatch.setattr(user_module, "entry_points", lambda: points)
    assert zoo.build("mine", {"width": 3}, 2, 3, None)(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    assert "mine" in zoo.names()
    with pytest.raises(InputError, match=r"entry point 'gone'.*cannot be imported"):
        zoo.build("gone", {}, 2, 3, None)


def test_torchvision_can_be_imported() -> None:
    torchvision_shim.declare()
    import torchvision.transforms  # noqa: F401

    assert torchvision_shim.declare() is torchvision_shim.declare()


def test_importing_the_zoo_loads_no_torch() -> None:
    code = "import sys, edgekit.zoo; print(sorted({'torch', 'timm', 'torchvision'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_classifier_of_networks_without_one() -> None:
    assert classifier.names(torch.nn.Conv2d(3, 4, 1), 5) == ()
    assert classifier.names(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Conv2d(5, 5, 1)), 5) == ("1",)
