from __future__ import annotations

import pytest
from torch import nn

from edgekit.zoo import classifier
from tests.networks import UNet


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("outputs", "classes"), [(3, 3), (1, 2), (2, 2)])
def test_the_head_of_a_dense_network(axes: int, outputs: int, classes: int) -> None:
    assert classifier.names(UNet(axes, outputs), classes) == ("head",)


def test_no_layer_fits() -> None:
    assert classifier.names(UNet(2, 3), 5) == ()
    assert classifier.names(nn.ReLU(), 2) == ()


def test_one_output_stands_for_two_classes_only_where_no_layer_has_two() -> None:
    layers = {"head": nn.Conv2d(4, 2, 1), "gate": nn.Conv2d(4, 1, 1)}
    assert classifier.names(nn.ModuleDict(layers), 2) == ("head",)
