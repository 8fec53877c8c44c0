from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.errors import InputError
from edgekit.pruning import shapes


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.norm, self.last = nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.LayerNorm(width)
        self.width, self.scale, self.name, self._private = width, width**-0.5, "block", width
        self.gamma = nn.Parameter(torch.ones(width, 1, 1))


def test_makes_one_network_like_the_other() -> None:
    before, after = nn.Sequential(Block(8)), nn.Sequential(Block(4))
    edit = json.loads(json.dumps(shapes.difference(before, after)))
    assert edit["attributes"]["0"] == {"width": 4, "scale": 0.5}
    assert edit["attributes"]["0.last"] == {"normalized_shape": [4]}
    assert edit["parameters"]["0.layer.weight"] == [4, 3, 1, 1]
    assert edit["buffers"] == {"0.norm.running_mean": [4], "0.norm.running_var": [4]}
    shapes.apply(before, edit)
    before.load_state_dict(after.state_dict(), strict=True)
    block: Any = before[0]
    assert block.last.normalized_shape == (4,)
    assert block.layer.out_channels == block.width == 4
    assert shapes.difference(before, after) == {"attributes": {}, "parameters": {}, "buffers": {}}


def test_nothing_changed() -> None:
    network = Block(8)
    assert shapes.difference(network, copy.deepcopy(network)) == {"attributes": {}, "parameters": {}, "buffers": {}}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"attributes": {"norm": {"forward": 1}}}, "'norm' has no attribute 'forward'"),
        ({"attributes": {"": {"_private": 1}}}, "has no attribute '_private'"),
        ({"attributes": {"": {"training": True}}}, "has no attribute 'training'"),
        ({"attributes": {"": {"name": "other"}}}, "has no attribute 'name'"),
        ({"attributes": {"": {"width": "8"}}}, "could become '8'"),
        ({"attributes": {"": {"width": 4.0}}}, "could become 4.0"),
        ({"attributes": {"": {"scale": float("nan")}}}, "could become nan"),
        ({"attributes": {"": {"width": True}}}, "could become True"),
        ({"attributes": {"last": {"normalized_shape": []}}}, r"could become \(\)"),
        ({"attributes": {"missing": {"width": 1}}}, "no module 'missing'"),
        ({"attributes": {"": 3}}, "the attributes of '' are 3"),
        ({"attributes": []}, r"'attributes' is \[\]"),
        ({"parameters": {"layer.weight": [4, 3]}}, r"'layer.weight' cannot have the shape \[4, 3\]"),
        ({"parameters": {"layer.weight": [0, 3, 1, 1]}}, "cannot have the shape"),
        ({"parameters": {"layer.weight": [2**30, 2**10, 1, 1]}}, "cannot have the shape"),
        ({"parameters": {"layer.other": [4]}}, "'layer.other' cannot have the shape"),
        ({"buffers": {"layer.weight": [4, 3, 1, 1]}}, "'layer.weight' cannot have the shape"),
    ],
)
def test_edits_that_do_not_fit(part: dict[str, Any], message: str) -> None:
    edit = {"attributes": {}, "parameters": {}, "buffers": {}, **part}
    with pytest.raises(InputError, match=message):
        shapes.apply(Block(8), edit)
