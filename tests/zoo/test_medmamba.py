from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier
from edgekit.zoo.medmamba import ConvolutionScanBlock, MedMamba, interleave
from edgekit.zoo.patches import DropPath, PatchMerging, drop_rates
from tests.zoo import golden


def _small(num_classes: int = 3) -> MedMamba:
    torch.manual_seed(0)
    return MedMamba(num_classes, 2, 8, (1, 1, 2, 1), 0.1).eval()


@pytest.mark.parametrize(
    ("name", "six", "thousand", "entries"),
    [
        ("medmamba_t", 14_457_222, 15_221_608, 355),
        ("medmamba_s", 18_625_158, 19_389_544, 491),
        ("medmamba_b", 39_864_838, 40_883_688, 627),
        ("medmamba_s_paper_count", 22_793_094, 23_557_480, 627),
        ("medmamba_b_paper_count", 47_126_022, 48_144_872, 763),
    ],
)
def test_counts(name: str, six: int, thousand: int, entries: int) -> None:
    with torch.device("meta"):
        small, large = (zoo.build(name, {}, classes, 3, None) for classes in (6, 1000))
    assert (counts.parameters(small), counts.parameters(large)) == (six, thousand)
    assert len(small.state_dict()) == entries


def test_the_papers_flops_are_the_macs_of_its_layers() -> None:
    with torch.device("meta"):
        found = counts.breakdown(zoo.build("medmamba_t", {}, 6, 3, None), (3, 224, 224))
    assert found.linear_and_convolution == 2_005_714_944
    assert found.scan == 742_103_040


@pytest.mark.shared_data
def test_official_names() -> None:
    with torch.device("meta"):
        network = zoo.build("medmamba_t", {}, 6, 3, None)
    assert golden.entries_of(network) == golden.entries("medmamba_t_6")


@pytest.mark.shared_data
def test_official_block() -> None:
    held = golden.arrays("ss_conv_ssm")
    block = golden.loaded(ConvolutionScanBlock(32), held)
    with torch.no_grad():
        golden.assert_close(block(held["x"]), held["y"])


@pytest.mark.shared_data
def test_official_patch_merging_and_shuffle() -> None:
    held = golden.arrays("patch_merging")
    merging = golden.loaded(PatchMerging(8), held)
    with torch.no_grad():
        golden.assert_close(merging(held["x"]), held["y"])
        golden.assert_close(merging(held["x_odd"]), held["y_odd"])
    first, second = held["shuffle_in"].chunk(2, dim=-1)
    assert torch.equal(interleave(first, second), held["shuffle_out"])


def test_patch_merging_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    merging, x = PatchMerging(2), torch.randn(2, 5, 4, 2)
    for parameter in merging.parameters():
        torch.nn.init.normal_(parameter)
    wanted = np.zeros((2, 2, 2, 4))
    weight, gain, bias = (
        one.detach().double().numpy() for one in (merging.reduction.weight, merging.norm.weight, merging.norm.bias)
    )
    for n, row, column in np.ndindex(2, 2, 2):
        corner = x[n, 2 * row :, 2 * column :].double().numpy()
        pixels = np.concatenate([corner[0, 0], corner[1, 0], corner[0, 1], corner[1, 1]])
        normal = (pixels - pixels.mean()) / np.sqrt(pixels.var() + 1e-5) * gain + bias
        wanted[n, row, column] = weight @ normal
    np.testing.assert_allclose(merging(x).detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_interleave_takes_turns() -> None:
    assert interleave(torch.tensor([[0, 2, 4]]), torch.tensor([[1, 3, 5]])).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_block_is_its_two_branches_in_turn_and_the_input() -> None:
    torch.manual_seed(0)
    block, x = ConvolutionScanBlock(8, drop_path=0.5).eval(), torch.randn(1, 4, 3, 8)
    with torch.no_grad():
        change = block(x) - x
        scanned = block.self_attention(torch.nn.functional.layer_norm(x[..., 4:], (4,)))
        convolved = block.conv33conv33conv11(x[..., :4].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(change[..., 0::2], convolved, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(change[..., 1::2], scanned, rtol=1e-4, atol=1e-6)


def test_drop_path_keeps_the_mean_and_leaves_eval_alone() -> None:
    torch.manual_seed(0)
    drop, ones = DropPath(0.25), torch.ones(4000, 1, 1, 2)
    dropped = drop(ones)
    assert set(dropped[:, 0, 0, 0].tolist()) == {0.0, ones[0].div(0.75)[0, 0, 0].item()}
    assert torch.equal(dropped[..., 0], dropped[..., 1])
    assert abs(dropped.mean().item() - 1) < 0.05
    assert drop.eval()(ones) is ones
    with pytest.raises(ValueError, match="rate of drop path is 1"):
        DropPath(1)


def test_drop_rates_grow_to_the_last_block() -> None:
    assert drop_rates(0.1, 3) == [0.0, 0.05, 0.1]
    assert drop_rates(0.1, 1) == [0.0]
    network = zoo.build("medmamba_t", {"drop_path": 0.2}, 2, 1, None)
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx(np.linspace(0, 0.2, 10))


def test_odd_sizes_are_cropped() -> None:
    network, image = _small(), torch.randn(2, 2, 44, 40)
    assert network(image).shape == (2, 3)
    # 44 pixels are 11 patches, of which merging takes 10: the last row of patches still reaches the convolutions.
    with torch.no_grad():
        assert torch.equal(network(torch.nn.functional.pad(image, (0, 0, 0, 3))), network(image))


def test_small_images_volumes_and_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="the image is 31x64; its sides must be at least 32 pixels"):
        _small()(torch.zeros(1, 2, 31, 64))
    with pytest.raises(ValueError, match="a 2-D network takes"):
        _small()(torch.zeros(1, 2, 32, 32, 32))
    with pytest.raises(ValueError, match="built for 2 channels"):
        _small()(torch.zeros(1, 3, 64, 64))


def test_classifier_and_arguments() -> None:
    assert classifier.names(_small(), 3) == ("head",)
    with pytest.raises(InputError, match=r"'medmamba_t' cannot be built with these arguments.*depths"):
        zoo.build("medmamba_t", {"depths": [1]}, 2, 3, None)


def test_it_trains() -> None:
    network = _small().train()
    logits = network(torch.randn(4, 2, 32, 32))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
