"""Rank-sensitive attention distillation: the student's self-attention keeps the teacher's order of tokens.

RSKD (Liang et al. 2024, Knowledge-Based Systems 293:111664) hands the ranking of the top-k most important tokens
from teacher to student through a ranking loss, over several layers. Its text was not at hand; what follows is our
own reading of its abstract, with the means that the field has for ranking (pairwise hinge; the rank discount of
NDCG, as in LambdaRank, Burges 2010).

Let t and s be a row (a query's attention to all N tokens, mean over heads) of teacher and student, in logarithms,
and number the tokens by falling t. With D(r) = 1 / log2(1 + r):

    R = mean over layers, images, rows of  sum w_rq max(0, min(m, t_r - t_q) - (s_r - s_q))
                                          ---------------------------------------------------,  w_rq = D(r) - D(q)
                                                              sum w_rq

over the pairs with r among the first k and q > r, tokens that the teacher ties left out. R is 0 if and only if the
student puts every such pair in the teacher's order, by a ratio of at least exp(m), or the teacher's own ratio where
that is smaller. So the order counts and not the values: a sharper attention of the same order costs nothing, and
mistaking the first token for the last costs more than mistaking two in the middle. Uniform attention does not
minimize it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgekit.passes.base import PassError
from edgekit.training.layers import run, unknown
from edgekit.training.pairing import evenly

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model import Model
    from edgekit.training.distillation import Pairs

#: m, in logarithms: the student must prefer the better token by some 10 %.
MARGIN = 0.1
_TINY = 1e-12


@dataclass(frozen=True)
class Attention:
    """A self-attention layer of timm: its name, and its factor of q k^T."""

    name: str
    scale: float

    @property
    def reads(self) -> tuple[str, str]:
        """The layers that put out q and k, ``[n, heads, N, channels]``; without norms they are identities."""
        return f"{self.name}.q_norm", f"{self.name}.k_norm"

    def matrix(self, outputs: dict[str, Tensor]) -> Tensor:
        """Attention ``[n, N, N]``, mean over heads, each row of sum 1; computed anew, for fused kernels hide it."""
        query, key = (outputs[name] for name in self.reads)
        return (query @ key.transpose(-2, -1) * self.scale).softmax(-1).mean(1)


class AttentionRanking:
    """R of the module's docstring.

    Args:
        named: pairs of attention layers, the teacher's first; ``auto`` spreads up to four over the depth of both.
        teacher: a transformer.
        student: a transformer with as many tokens.
        top: k.

    Raises:
        PassError: one of the two has no such attention, a name is wrong, or the numbers of tokens differ.
    """

    def __init__(self, named: Pairs, teacher: Model, student: Model, top: int) -> None:
        told, given = layers(teacher.network), layers(student.network)
        for of, model, found in (("teacher", teacher, told), ("student", student, given)):
            if not found:
                raise PassError(
                    f"the {of} '{model.architecture}' has no self-attention of timm's kind (q and k for all tokens "
                    "of the image)",
                    where="ranking",
                    remedy="it needs two transformers such as ViT and DeiT; 'attention' works with any",
                )
        if named == "auto":
            # The same share of the depth of both, as often as the shallower one can tell apart.
            few = min(len(told), len(given))
            self.pairs = list(zip(_spread(told, few), _spread(given, few), strict=True))
        else:
            self.pairs = [(_named(one, told, "teacher"), _named(two, given, "student")) for one, two in named]
        self.names = [(one.name, other.name) for one, other in self.pairs]
        self.reads = [both for one, other in self.pairs for both in zip(one.reads, other.reads, strict=True)]
        self._top = top
        self._check_tokens(teacher, student)

    def _check_tokens(self, teacher: Model, student: Model) -> None:
        outputs = []
        for place, model in enumerate((teacher, student)):
            names = [name for pair in self.pairs for name in pair[place].reads]
            with torch.no_grad():
                outputs.append(run(model.network, torch.zeros(2, *model.input_size), names)[1])
        for one, other in self.pairs:
            shapes = [layer.matrix(found).shape for layer, found in zip((one, other), outputs, strict=True)]
            if shapes[0] != shapes[1]:
                raise PassError(
                    f"'{one.name}' of the teacher attends to {shapes[0][-1]} tokens in {shapes[0][0]} groups for 2 "
                    f"images, '{other.name}' of the student to {shapes[1][-1]} in {shapes[1][0]}",
                    where="ranking",
                    remedy="the order of tokens can be compared only where they are the same: take a teacher with "
                    "the same patches and class token, or use 'attention'",
                )

    def __call__(self, told: dict[str, Tensor], given: dict[str, Tensor], image: tuple[int, ...]) -> Tensor:
        """The loss, a scalar; arguments as of ``Features``, for the layers that the pairs ``reads``."""
        found = [ranking(one.matrix(told), other.matrix(given), self._top) for one, other in self.pairs]
        return torch.stack(found).mean()


def ranking(told: Tensor, given: Tensor, top: int) -> Tensor:
    """R of one pair of layers, a scalar.

    Args:
        told: the teacher's attention ``[n, N, N]``, rows of queries.
        given: the student's.
        top: k; all tokens where there are no more.
    """
    tokens = told.shape[-1]
    top = min(top, tokens - 1)
    teacher, order = told.clamp_min(_TINY).log().sort(dim=-1, descending=True, stable=True)
    student = given.clamp_min(_TINY).log().gather(-1, order)
    rank = torch.arange(1, tokens + 1, device=told.device, dtype=told.dtype)
    discount = 1 / torch.log2(1 + rank)
    # [k, N], positive right of the diagonal.
    weight = (discount[:top, None] - discount[None, :]).clamp_min(0)
    gap = teacher[..., :top, None] - teacher[..., None, :]
    wanted = gap.clamp_max(MARGIN).masked_fill_(gap <= 0, -torch.inf)
    lead = student[..., :top, None] - student[..., None, :]
    # [n, N, k, N], the largest tensor here: the fewer operations the better.
    violation = (wanted - lead).relu()
    return (violation.mean((0, 1)) * weight).sum() / weight.sum()


def layers(network: nn.Module) -> dict[str, Attention]:
    """The attention layers of ``network`` that compute as timm's ``Attention`` does, in order."""
    # A network that holds timm's layers has imported them; to import timm for one that does not would take seconds.
    timm = sys.modules.get("timm.layers.attention")
    if timm is None:
        return {}
    # Subclasses that compute otherwise (rotary embeddings, windows) have matrices of another meaning.
    return {
        name: Attention(name, float(layer.scale))
        for name, layer in network.named_modules()
        if isinstance(layer, timm.Attention) and type(layer).forward is timm.Attention.forward
    }


def _spread(found: dict[str, Attention], few: int) -> list[Attention]:
    shares = evenly(range(1, few + 1))
    return [list(found.values())[-(-len(found) * share // few) - 1] for share in shares]


def _named(name: str, found: dict[str, Attention], of: str) -> Attention:
    if name not in found:
        raise unknown(name, found, f"{of}'s self-attention", "ranking")
    return found[name]
