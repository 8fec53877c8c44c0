from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.matching import load_into


class Net(nn.Module):
    """One convolution, BatchNorm and a classifier, under names that ``style`` decides."""

    def __init__(self, classes: int = 3, style: str = "a", width: int = 4) -> None:
        super().__init__()
        layers = {"conv": nn.Conv2d(3, width, 1), "bn": nn.BatchNorm2d(width), "head": nn.Linear(width, classes)}
        for name, layer in layers.items():
            nn.init.normal_(layer.get_parameter("weight"))
            self.add_module(name if style == "a" else f"{style}_{name}", layer)


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Net()


def state(network: nn.Module, *, counters: bool = True) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in network.state_dict().items() if counters or not n.endswith("_tracked")}


def equal(network: nn.Module, tensors: dict[str, Tensor]) -> bool:
    own = [t for n, t in network.state_dict().items() if not n.endswith("_tracked")]
    given = [t for n, t in tensors.items() if not n.endswith("_tracked")]
    return all(torch.equal(a, b) for a, b in zip(own, given, strict=True))


@pytest.mark.parametrize("counters", [True, False])
def test_by_name(counters: bool) -> None:
    network, tensors = Net(), state(Net(), counters=counters)
    report = load_into(network, tensors, num_classes=3)
    assert equal(network, tensors)
    assert report == {"match": "name", "matched": len(tensors), "missing": [], "left_out": []}


def test_prefix_that_the_network_has_itself() -> None:
    network, tensors = Wrapper(), state(Net())
    assert load_into(network, tensors, num_classes=3)["matched"] == len(tensors)
    assert equal(network, tensors)


@pytest.mark.parametrize("counters", [True, False])
def test_by_order(counters: bool) -> None:
    network, tensors = Net(), state(Net(style="b"), counters=counters)
    assert load_into(network, tensors, num_classes=3, match="order")["matched"] == len(tensors)
    assert equal(network, tensors)


def test_other_names_hint_at_order() -> None:
    message = (
        r"0 of the network's 9 tensors match .*; 8 missing in the checkpoint: conv.weight, .*head.bias; "
        r"8 not in the network: b_conv.weight, .* \(shapes agree in order: set 'match: order'\)"
    )
    with pytest.raises(InputError, match=message):
        load_into(Net(), state(Net(style="b")), num_classes=3)


def test_long_lists_are_cut() -> None:
    with pytest.raises(InputError, match=r"10 not in the network: x0, .*x7, and 2 more"):
        load_into(Net(), state(Net()) | {f"x{i}": torch.ones(1) for i in range(10)}, num_classes=3)


def test_number_of_classes() -> None:
    network, tensors = Net(classes=3), state(Net(classes=10))
    before = state(network)
    with pytest.raises(InputError, match=r"has 10 classes, the recipe 3 \('head.weight'\).*'replace_head: true'"):
        load_into(network, tensors, num_classes=3)
    assert equal(network, before), "nothing may be loaded when something does not fit"
    for match, given in (("name", tensors), ("order", state(Net(classes=10, style="b")))):
        report = load_into(network, given, num_classes=3, match=match, replace_head=True)  # type: ignore[arg-type]
        assert report["missing"] == ["head.weight", "head.bias"]
        assert report["left_out"] == [name for name in given if "head" in name]
        assert torch.equal(network.state_dict()["head.weight"], before["head.weight"])
        assert torch.equal(network.state_dict()["conv.weight"], given[next(iter(given))])


def test_headless_checkpoint_needs_replace_head() -> None:
    tensors = {name: one for name, one in state(Net()).items() if "head" not in name}
    with pytest.raises(InputError, match=r"2 missing in the checkpoint: head.weight, head.bias"):
        load_into(Net(), tensors, num_classes=3)
    assert load_into(Net(), tensors, num_classes=3, replace_head=True)["missing"] == ["head.weight", "head.bias"]


def test_other_width_is_never_loaded() -> None:
    message = r"7 of another shape or type: conv.weight \[4, 3, 1, 1\], checkpoint: conv.weight \[8, 3, 1, 1\]"
    with pytest.raises(InputError, match=message):
        load_into(Net(), state(Net(width=8)), num_classes=3, replace_head=True)


def test_order_names_the_position() -> None:
    message = (
        r"first difference at position 0: network 'conv.weight' \[4, 3, 1, 1\], checkpoint 'b_conv.weight' "
        r"\[8, 3, 1, 1\]"
    )
    with pytest.raises(InputError, match=message):
        load_into(Net(), state(Net(width=8, style="b")), num_classes=3, match="order")
    short = dict(list(state(Net(style="b"), counters=False).items())[:5])
    with pytest.raises(InputError, match="the network needs 8 tensors, the checkpoint has 5"):
        load_into(Net(), short, num_classes=3, match="order")


def test_integers_are_not_weights() -> None:
    tensors = state(Net())
    tensors["conv.weight"] = tensors["conv.weight"].to(torch.int8)
    with pytest.raises(InputError, match=r"1 of another shape or type: conv.weight .*int8"):
        load_into(Net(), tensors, num_classes=3)
