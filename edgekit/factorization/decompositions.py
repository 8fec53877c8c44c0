"""The two decompositions: SVD of a matrix, and Tucker-2 of the kernel of a convolution. All in float64.

SVD (Eckart and Young, 1936): W = U diag(s) V^T, and the best approximation of rank R keeps the R largest singular
values; its squared error is the sum of the other s^2.

Tucker-2 (Kim et al., ICLR 2016, equation 3): K[o, i, y, x] = sum over a, b of E[o, a] C[a, b, y, x] R[b, i]. The
kernel is decomposed along its channels and not in space. It starts from the higher-order SVD (De Lathauwer et al.,
SIAM J. Matrix Anal. Appl. 21, 2000, "A multilinear singular value decomposition") and is refined by orthogonal
iteration (HOOI; De Lathauwer et al., the same volume, "On the best rank-1 and rank-(R1, ..., RN) approximation").

The factors are scaled so that neighbours share every singular value evenly, by its square root: a channel between
them then has neither tiny weights before it nor after it, which per-tensor and per-channel INT8 would round away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: HOOI ends when a round raises the share of the energy that is kept by less, or after so many rounds.
_CONVERGED = 1e-6
_ROUNDS = 20


def svd_spectrum(matrix: Tensor) -> Tensor:
    """Squared singular values of ``matrix [out, in]``, the largest first."""
    import torch

    values: Tensor = torch.linalg.svdvals(matrix.double())
    return values.square()


def svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """``reduce [rank, in]`` and ``expand [out, rank]``, whose product is the nearest of that rank to ``matrix``."""
    import torch

    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


def tucker2_spectra(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values of ``kernel [out, in, kh, kw]`` unfolded along ``in`` and along ``out``.

    Cutting both modes to ranks (r_in, r_out) loses at most the sum of both tails of squared singular values
    (De Lathauwer et al., property 10).
    """
    import torch

    modes = (kernel.double().transpose(0, 1), kernel.double())
    values = [torch.linalg.eigvalsh(_gram(one)).flip(0).clamp(min=0) for one in modes]
    return values[0], values[1]


def tucker2(kernel: Tensor, ranks: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The factors of ``kernel [out, in, kh, kw]`` for ``ranks`` (r_in, r_out).

    Returns:
        ``reduce [r_in, in]``, ``core [r_out, r_in, kh, kw]`` and ``expand [out, r_out]``.
    """
    import torch

    kernel = kernel.double()
    total, kept = kernel.square().sum(), torch.zeros((), dtype=torch.float64)
    inner = _leading(kernel.transpose(0, 1), ranks[0])
    for _ in range(_ROUNDS):
        outer = _leading(torch.einsum("oiyx,ib->obyx", kernel, inner), ranks[1])
        projected = torch.einsum("oiyx,oa->aiyx", kernel, outer)
        inner = _leading(projected.transpose(0, 1), ranks[0])
        core = torch.einsum("aiyx,ib->abyx", projected, inner)
        before, kept = kept, core.square().sum()
        if kept - before <= _CONVERGED * total:
            break
    into = _roots(core.transpose(0, 1))
    out = _roots(core)
    return into[:, None] * inner.T, core / into[:, None, None] / out[:, None, None, None], outer * out


def _gram(unfolded: Tensor) -> Tensor:
    flat = unfolded.flatten(1)
    return flat @ flat.T


def _leading(tensor: Tensor, rank: int) -> Tensor:
    """The first left singular vectors ``[n, rank]`` of ``tensor [n, ...]`` unfolded along its first axis."""
    import torch

    vectors: Tensor = torch.linalg.eigh(_gram(tensor)).eigenvectors
    return vectors.flip(1)[:, :rank]


def _roots(tensor: Tensor) -> Tensor:
    """Square root of the norm of each slice along the first axis; 1 where a slice is zero."""
    norms = tensor.flatten(1).norm(dim=1)
    roots: Tensor = norms.where(norms > norms.max() * 1e-12, norms.new_ones(())).sqrt()
    return roots
