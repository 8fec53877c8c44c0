from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgekit import counts
from edgekit.errors import InputError
from edgekit.model import Model
from edgekit.zoo import catalogue, counted, exported, published
from edgekit.zoo.catalogue import Entry
from edgekit.zoo.mamba import Mamba
from edgekit.zoo.published import Figure

#: Of the official code: classes, input channels, parameters.
OFFICIAL = [
    ("medmamba_t", 6, 3, 14_457_222),
    ("medmamba_t", 1000, 3, 15_221_608),
    ("medmamba_s", 6, 3, 18_625_158),
    ("medmamba_s", 1000, 3, 19_389_544),
    ("medmamba_b", 6, 3, 39_864_838),
    ("medmamba_b", 1000, 3, 40_883_688),
    ("medmamba_s_paper_count", 6, 3, 22_793_094),
    ("medmamba_s_paper_count", 1000, 3, 23_557_480),
    ("medmamba_b_paper_count", 6, 3, 47_126_022),
    ("medmamba_b_paper_count", 1000, 3, 48_144_872),
    ("lightm_unet", 2, 1, 5_011_683),
    ("lightm_unet", 2, 3, 5_011_765),
    ("lightm_unet_3d", 3, 1, 5_015_766),
    ("lightm_unet_3d", 2, 1, 5_015_733),
    ("lightm_unet_paper", 2, 1, 2_457_705),
    ("lightm_unet_paper_3d", 2, 1, 2_461_755),
    ("ultralight_vm_unet", 1, 3, 49_457),
    ("vm_unet", 1, 3, 27_427_561),
    ("mednext_2026", 2, 3, 10_727_542),
]
own = pytest.mark.parametrize("entry", catalogue.ENTRIES, ids=lambda entry: entry.name)


def own_network(name: str, num_classes: int, in_channels: int) -> nn.Module:
    entry = catalogue.find(name)
    assert entry is not None
    return catalogue.build(entry, {}, num_classes, in_channels).eval()


@pytest.mark.parametrize(("name", "classes", "channels", "parameters"), OFFICIAL)
def test_official_parameter_counts(name: str, classes: int, channels: int, parameters: int) -> None:
    assert counts.parameters(own_network(name, classes, channels)) == parameters


@own
def test_output_shape(entry: Entry) -> None:
    network = catalogue.build(entry, {}, 3, entry.input_size[0]).eval()
    with torch.no_grad():
        found = network(torch.zeros(1, *entry.small_size))
    spatial = entry.small_size[1:] if entry.task == "segmentation" else ()
    assert found.shape == (1, 3, *spatial)
    assert len(entry.small_size) == len(entry.input_size) == entry.dimensions + 1


@own
def test_what_the_list_says_is_so(entry: Entry) -> None:
    assert json.loads(json.dumps(counted.count(entry))) == counted.read()[entry.name], (
        "run python -m edgekit.zoo.counted"
    )


def test_medmamba_t_in_parts() -> None:
    network = own_network("medmamba_t", 1000, 3).to("meta")
    found = counts.breakdown(network, (3, 224, 224))
    parts = (found.linear_and_convolution, found.einsum_and_matmul, found.scan)
    assert [round(part / 1e9, 3) for part in parts] == [2.006, 0.236, 0.742]
    assert round(found.total / 1e9, 2) == 2.98


@pytest.mark.parametrize(
    ("name", "classes", "size", "thop"),
    [
        ("ultralight_vm_unet", 1, (3, 256, 256), "0.060G"),
        ("lightm_unet", 2, (3, 512, 512), "8.52G"),
        ("lightm_unet_3d", 3, (1, 128, 128, 128), "30.39G"),
    ],
)
def test_thops_count_is_what_is_left_where_mamba_is_hidden(
    name: str, classes: int, size: tuple[int, ...], thop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason given for the papers' small FLOPs: a fused kernel hides all of Mamba from a counter of layers.

    Besides layers thop counts four operations for each value of a LayerNorm and eleven for each that
    ``nn.Upsample`` interpolates in two dimensions; UltraLight calls the function, which thop does not see.
    """
    network = own_network(name, classes, size[0]).to("meta")
    whole = counts.macs(network, size)
    extra = []
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(lambda layer, given, gave: extra.append(4 * gave.numel()))
    interpolate = nn.functional.interpolate

    def counted_interpolate(*given: Any, **named: Any) -> torch.Tensor:
        gave = interpolate(*given, **named)
        extra.append(11 * gave.numel() if name == "lightm_unet" else 0)
        return gave

    monkeypatch.setattr(nn.functional, "interpolate", counted_interpolate)
    monkeypatch.setattr(Mamba, "forward", lambda self, tokens: tokens)
    left = counts.macs(network, size)
    assert left < whole
    assert Figure("thop", "macs", thop).agrees(left + sum(extra))


def test_every_figure_agrees_or_says_why() -> None:
    listed = {entry.name for entry in catalogue.LISTED}
    assert len(listed) == len(catalogue.LISTED)
    assert set(published.FIGURES) <= listed
    for name, figures in published.FIGURES.items():
        for figure, ours in zip(figures, counted.read()[name]["figures"], strict=True):
            assert figure.agrees(ours) or figure.reason, (name, figure, ours)


@pytest.mark.parametrize(
    ("printed", "ours", "agrees"),
    [
        ("23.5M", 23_557_480, True),  # cut, not rounded
        ("15.2M", 15_150_001, True),
        ("15.2M", 15_300_000, False),
        ("2.0G", 1_900_000_000, False),
        ("406M", 405_321_728, True),
        ("24M", 22_990_000, False),
    ],
)
def test_agreement_is_to_the_digits_printed(printed: str, ours: int, agrees: bool) -> None:
    assert Figure("paper", "parameters", printed).agrees(ours) == agrees


def test_arguments_are_listed_and_refused() -> None:
    entry = catalogue.find("medmamba_t")
    assert entry is not None
    assert set(catalogue.arguments_of(entry)).isdisjoint({"num_classes", "in_channels"})
    with pytest.raises(InputError, match=r"'medmamba_t' cannot be built .*widht.*edgekit models medmamba_t"):
        catalogue.build(entry, {"widht": 3}, 2, 3)


@pytest.mark.parametrize("name", exported.read())
def test_what_the_list_says_of_runtimes(name: str) -> None:
    entry = next(one for one in catalogue.LISTED if one.name == name)
    found = exported.read()[name]
    assert set(found) == set(exported.TARGETS), f"run python -m edgekit.zoo.exported {name}"
    for result in found.values():
        assert len(set(result) & {"error", "not_run", "failed"}) == 1
        assert result["input_size"] == list(entry.small_size)
        assert result.get("error", 0.0) <= exported.TOLERANCE


def test_an_export_is_run_and_compared(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    class Wrong(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            eigenvalues: torch.Tensor = torch.linalg.eigvals(image).real.flatten(1)
            return eigenvalues

    def model(network: nn.Module) -> Model:
        return Model("made", {}, 2, (1, 4, 4), None, (), network.eval())

    good = exported.check(model(nn.Sequential(nn.Flatten(), nn.Linear(16, 2))), "onnxruntime")
    assert good["error"] < 1e-5
    assert good["versions"]["torch"] == torch.__version__
    assert good["input_size"] == [1, 4, 4]
    bad = exported.check(model(Wrong()), "onnxruntime")
    assert "eig" in bad["failed"]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", exported.TARGETS)
@pytest.mark.parametrize("entry", catalogue.LISTED, ids=lambda entry: entry.name)
def test_exports_end_as_the_list_says(entry: Entry, runtime: str) -> None:
    if entry.name not in exported.read():
        pytest.skip("not tried yet: run python -m edgekit.zoo.exported")
    said = exported.read()[entry.name][runtime]
    found = exported.check(exported.model_of(entry), runtime)
    assert ("failed" in found) == ("failed" in said), found
