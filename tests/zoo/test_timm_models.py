"""timm's networks against the papers' tables, by name and count."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from edgekit import counts
from edgekit.zoo import catalogue, counted, published, timm_models
from edgekit.zoo.catalogue import Entry

#: With 3 classes, and what the paper prints: parameters in M, FLOPs in G (Mahmoud et al. 2025, Table 1).
LUNG = {
    "mobileone_s0": ("4.27", "0.010"),
    "mambaout_femto": ("6.15", "0.010"),
    "fastvit_s12": ("8.45", "0.020"),
    "efficientnet_b0": ("4.01", "0.010"),
    "resnet50": ("23.51", "0.050"),
    "vit_tiny_patch16_224": ("5.52", "0.010"),
    "swinv2_cr_tiny_ns_224": ("27.57", "0.060"),
}
#: With 1000 classes, exact.
IMAGENET = {
    "mobileone_s0": 5_293_272,
    "fastvit_s12": 9_473_576,
    "mambaout_femto": 7_304_536,
    "efficientnet_b0": 5_288_548,
    "efficientnet_lite0": 4_652_008,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vit_tiny_patch16_224": 5_717_416,
    "swinv2_cr_tiny_ns_224": 28_333_468,
    "efficientformerv2_s0": 3_600_256,
    "mobilevit_xs": 2_317_848,
    "repvit_m0_9": 5_489_328,
    "repvit_m1": 5_485_248,
    "levit_128": 9_213_936,
}


def on_meta(name: str, num_classes: int) -> nn.Module:
    with torch.device("meta"):
        return timm_models.build(name, {}, num_classes, 3).eval()


@pytest.mark.parametrize(("name", "printed"), LUNG.items())
def test_lung_ct_paper(name: str, printed: tuple[str, str]) -> None:
    parameters = counts.parameters(on_meta(name, 3))
    assert f"{parameters / 1e6:.2f}" == printed[0]
    # Its FLOPs are no count of the work: they are twice the parameters, to the digits printed.
    assert f"{2 * parameters / 1e9:.2f}0" == printed[1]


def test_every_cited_network_is_checked() -> None:
    assert set(IMAGENET) == {entry.name for entry in catalogue.CITED}


@pytest.mark.parametrize("entry", catalogue.CITED, ids=lambda entry: entry.name)
def test_counts_are_those_of_the_list(entry: Entry) -> None:
    said = counted.read()[entry.name]
    assert said["parameters"] == IMAGENET[entry.name]
    assert json.loads(json.dumps(counted.count(entry))) == said, "run python -m edgekit.zoo.counted"


def test_merged_branches() -> None:
    assert counted.read()["mobileone_s0"]["merged"]["parameters"] == 2_078_504
    assert counted.read()["resnet18"]["merged"] is None


def test_thop_adds_two_operations_for_each_normalized_value() -> None:
    """The reason given for the 4.11 G that papers print of ResNet-50."""
    network = on_meta("resnet50", 1000)
    normalized = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda layer, given, gave: normalized.append(gave.numel()))
    macs = counts.macs(network, (3, 224, 224))
    figure = next(one for one in published.FIGURES["resnet50"] if one.quantity == "macs")
    assert not figure.agrees(macs)
    assert figure.agrees(macs + 2 * sum(normalized))


@pytest.mark.parametrize("name", ["resnet18", "repvit_m0_9"])
def test_output_shape(name: str) -> None:
    with torch.no_grad():
        assert timm_models.build(name, {}, 5, 1).eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
