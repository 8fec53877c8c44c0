from __future__ import annotations

import pytest
import torch

from edgekit.factorization import decompositions


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_error_of_svd_is_the_tail_of_the_singular_values(rank: int) -> None:
    matrix = tensor(6, 10)
    spectrum = decompositions.svd_spectrum(matrix)
    reduce, expand = decompositions.svd(matrix, rank)
    assert (reduce.shape, expand.shape) == ((rank, 10), (6, rank))
    error = (matrix.double() - expand @ reduce).square().sum()
    assert float(error) == pytest.approx(float(spectrum[rank:].sum()), rel=1e-12, abs=1e-20)
    torch.testing.assert_close(spectrum.sum(), matrix.double().square().sum())


def test_both_factors_of_svd_have_the_same_share_of_each_singular_value() -> None:
    reduce, expand = decompositions.svd(tensor(6, 10), 4)
    torch.testing.assert_close(reduce.norm(dim=1), expand.norm(dim=0))


def rebuilt(factors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    reduce, core, expand = factors
    return torch.einsum("oa,abyx,bi->oiyx", expand, core, reduce)


def test_tucker2_of_full_ranks_is_exact() -> None:
    kernel = tensor(8, 6, 3, 3)
    torch.testing.assert_close(rebuilt(decompositions.tucker2(kernel, (6, 8))), kernel.double(), rtol=0, atol=1e-13)


def test_tucker2_finds_a_kernel_that_has_the_ranks() -> None:
    kernel = torch.einsum("oa,abyx,bi->oiyx", tensor(8, 3), tensor(3, 2, 3, 3, seed=1), tensor(2, 6, seed=2))
    reduce, core, expand = decompositions.tucker2(kernel, (2, 3))
    assert (reduce.shape, core.shape, expand.shape) == ((2, 6), (3, 2, 3, 3), (8, 3))
    torch.testing.assert_close(rebuilt((reduce, core, expand)), kernel.double(), rtol=0, atol=1e-6)
    inner, outer = decompositions.tucker2_spectra(kernel)
    # The kernel is rounded to float32, so what lies behind its ranks is small and not zero.
    assert float(inner[2:].sum() / inner.sum()) < 1e-12
    assert float(outer[3:].sum() / outer.sum()) < 1e-12


@pytest.mark.parametrize("ranks", [(2, 2), (4, 3), (5, 7), (6, 1)])
def test_tucker2_loses_at_most_both_tails(ranks: tuple[int, int]) -> None:
    kernel = tensor(8, 6, 3, 3)
    inner, outer = decompositions.tucker2_spectra(kernel)
    bound = float(inner[ranks[0] :].sum() + outer[ranks[1] :].sum())
    error = float((rebuilt(decompositions.tucker2(kernel, ranks)) - kernel.double()).square().sum())
    # No approximation of these ranks can lose less than the larger tail.
    assert max(float(inner[ranks[0] :].sum()), float(outer[ranks[1] :].sum())) <= error * (1 + 1e-9) + 1e-20
    assert error <= bound * (1 + 1e-9)


def test_tucker2_of_a_kernel_with_dead_channels_is_finite() -> None:
    kernel = tensor(8, 6, 3, 3)
    kernel[2:] = 0
    factors = decompositions.tucker2(kernel, (6, 8))
    assert all(bool(one.isfinite().all()) for one in factors)
    torch.testing.assert_close(rebuilt(factors), kernel.double(), rtol=0, atol=1e-12)


def test_the_same_kernel_gives_the_same_factors() -> None:
    kernel = tensor(8, 6, 3, 3)
    one, two = (decompositions.tucker2(kernel, (4, 4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
