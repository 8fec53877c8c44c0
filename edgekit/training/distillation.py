"""Knowledge distillation: a student learns from a teacher, as well as from the labels.

The loss of a batch, which ``distillation_loss`` computes, is

    L = (1 - w) CE + w T^2 KL(softmax(teacher / T) || softmax(student / T)) + f F + a A + r R

with w = ``weight`` and T = ``temperature`` (Hinton et al. 2015; KL is the mean over images, or over all
pixels but the ignored ones), CE the supervised loss of the pass (for segmentation with its Dice),
f = ``feature_weight``, a = ``attention_weight`` and r = ``ranking_weight``. F is that of ``features``, A of
``attention_transfer``, R of ``attention_ranking``; each is there only where its layers are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit.schema import Frozen

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model import Model
    from edgekit.training.distillation_loss import Loss, Term

Pairs = Literal["auto"] | tuple[tuple[str, str], ...]


class Distillation(Frozen):
    """What a student learns from its teacher."""

    temperature: float = Field(default=4.0, gt=0, le=100, description="of both softmaxes in the soft loss")
    weight: float = Field(
        default=0.5, ge=0, le=1, description="of the soft loss; the labels' loss has one minus this"
    )
    features: Pairs | None = Field(
        default=None,
        description="layers whose features are compared through a learned projection: [teacher, student] names, "
        "or 'auto'",
    )
    feature_weight: float = Field(default=1.0, gt=0, le=1e6, description="of the loss of 'features'")
    attention: Pairs | None = Field(
        default=None,
        description="layers whose spatial attention is transferred: [teacher, student] names, or 'auto'",
    )
    attention_weight: float = Field(default=1.0, gt=0, le=1e6, description="of the loss of 'attention'")
    ranking: Pairs | None = Field(
        default=None,
        description="self-attention layers of two transformers whose ranking of tokens is kept: [teacher, student] "
        "names, or 'auto'",
    )
    ranking_weight: float = Field(default=1.0, gt=0, le=1e6, description="of the loss of 'ranking'")
    ranking_tokens: int = Field(default=8, ge=1, description="how many of the first tokens must keep their rank")

    @field_validator("features", "attention", "ranking", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        # Before pydantic tries both forms and reports that each of them fails.
        if value is None or value == "auto":
            return value
        if not isinstance(value, (list, tuple)) or not value or not all(_is_pair(one) for one in value):
            raise ValueError(
                "give 'auto', or pairs of layers, the teacher's first: [[layer3, stages.2], [layer4, stages.3]]"
            )
        if len({tuple(one) for one in value}) != len(value):
            raise ValueError("name each pair of layers once")
        return value

    @model_validator(mode="after")
    def _acts(self) -> Self:
        for name, needs in (
            ("feature_weight", "features"),
            ("attention_weight", "attention"),
            ("ranking_weight", "ranking"),
            ("ranking_tokens", "ranking"),
        ):
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and getattr(self, needs) is None:
                raise ValueError(f"'{name}' has no effect without '{needs}'")
        return self

    @property
    def inner(self) -> tuple[str, ...]:
        """What is learned from the teacher's inner layers, beyond its logits."""
        return tuple(name for name in ("features", "attention", "ranking") if getattr(self, name) is not None)

    def check_reach(self) -> None:
        """Refuse what cannot act where only the classifier learns (``freeze: backbone``).

        Raises:
            ValueError: names it.
        """
        if self.inner:
            raise ValueError(
                f"'{self.inner[0]}' teaches layers that 'freeze: backbone' holds; leave out one of the two"
            )


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(one, str) for one in value)


def objective(
    settings: Distillation, teacher: Model, student: Model, *, seed: int = 0
) -> tuple[Loss, nn.Module | None]:
    """The loss to give to ``training.loop.fit``, and the module that trains along with it, if any.

    Args:
        settings: what is learned from the teacher.
        teacher: stays as it is; a copy of it answers.
        student: the model as it is before training. Layers are found in it, by name; what ``fit`` trains is a copy.
        seed: of the projections' first weights.

    Raises:
        PassError: a layer does not exist or has no map (the nearest names), nothing matches, or the ranking of
            tokens is asked for and one of the two has no attention of that kind.
    """
    from edgekit.training.distillation_loss import Loss

    terms: dict[str, tuple[float, Term]] = {}
    extra: nn.Module | None = None
    if settings.features is not None:
        from edgekit.training import features, pairing

        extra = features.Features(pairing.pairs(settings.features, teacher, student, "features"), seed)
        terms["features"] = (settings.feature_weight, extra)
    if settings.attention is not None:
        from edgekit.training import attention_transfer, pairing

        pairs = pairing.pairs(settings.attention, teacher, student, "attention")
        terms["attention"] = (settings.attention_weight, attention_transfer.AttentionTransfer(pairs))
    if settings.ranking is not None:
        from edgekit.training.attention_ranking import AttentionRanking

        ranking = AttentionRanking(settings.ranking, teacher, student, settings.ranking_tokens)
        terms["ranking"] = (settings.ranking_weight, ranking)
    return Loss(settings, teacher, terms), extra
