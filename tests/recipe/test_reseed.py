from __future__ import annotations

from pydantic import BaseModel

from edgekit.passes import Finetune
from edgekit.recipe import ModelConfig, Teacher
from edgekit.recipe.reseed import reseed
from edgekit.schema import Frozen
from edgekit.training.recovery import Recovery


class Nested(Frozen):
    """A pass as prune is: a training below it, which may be absent, and a list of others."""

    seed: int = 0
    recovery: Recovery | None = None
    others: tuple[Recovery, ...] = ()
    names: tuple[str, ...] = ("seed",)


def seeds(part: BaseModel) -> list[int]:
    """Every 'seed' below ``part``, in order."""
    found = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                if name == "seed":
                    found.append(one)
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(part.model_dump(mode="json"))
    return found


def test_every_seed_is_replaced_however_deep() -> None:
    teacher = Teacher(model=ModelConfig(architecture="a", seed=9), passes=(Finetune(seed=4), Finetune()))
    assert seeds(teacher) == [9, 4, 0]
    assert seeds(reseed(teacher, 3)) == [3, 3, 3]
    nested = Nested(recovery=Recovery(epochs=7), others=(Recovery(), Recovery()))
    assert seeds(reseed(nested, 3)) == [3, 3, 3, 3]
    assert reseed(Nested(), 3) == Nested(seed=3)


def test_nothing_else_changes_and_the_argument_stays() -> None:
    nested = Nested(recovery=Recovery(epochs=7))
    changed = reseed(nested, 3)
    assert seeds(nested) == [0, 0]
    assert type(changed.recovery) is Recovery
    assert changed.recovery.epochs == 7
    assert changed.names == ("seed",)
    assert changed.model_fields_set == {"recovery"}
    assert changed.recovery.model_fields_set == {"epochs"}
    assert reseed(changed, 0) == nested
