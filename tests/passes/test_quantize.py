from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.data.prepared import Prepared
from edgekit.model import Model
from edgekit.passes import Context, PassError, Quantize


def test_first_and_last_stay_in_float(resnet: Model, prepared: Prepared) -> None:
    outcome = Quantize(images=8, keep_float=("first", "last")).apply(resnet, Context(prepared))
    assert outcome.changes["layers_kept_float"] == ["conv1.0", "fc"]
    assert outcome.model.quantization is not None
    assert outcome.model.quantization["keep_float"] == ["conv1.0", "fc"]
    assert "sensitivity" not in outcome.changes
    plain = Quantize(images=8).apply(resnet, Context(prepared))
    assert plain.changes["layers_quantized"] == outcome.changes["layers_quantized"] + 2


def test_an_unknown_layer_is_refused_with_the_nearest(resnet: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match=r"'conv1\.00', which is no convolution.*nearest: conv1\.0"):
        Quantize(images=8, keep_float=("conv1.00",)).apply(resnet, Context(prepared))


def test_an_analysis_changes_nothing_of_the_model(resnet: Model, prepared: Prepared) -> None:
    plain = Quantize(images=8).apply(resnet, Context(prepared))
    told: list[float] = []
    context = Context(prepared, lambda fraction, text: told.append(fraction))
    analysed = Quantize(images=8, sensitivity=True).apply(resnet, context)
    assert analysed.model.quantization == plain.model.quantization
    assert len(analysed.changes["sensitivity"]["layers"]) == plain.changes["layers_quantized"]
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"keep_float": "first"}, r"list of layers, such as \[first, last\], or the word auto"),
        ({"keep_float": ["auto", "fc"]}, "the word auto alone"),
        ({"keep_float": "auto", "sensitivity": False}, "leave 'sensitivity' out"),
        ({"sensitivity_images": 64}, "no effect without 'sensitivity: true'"),
    ],
)
def test_settings_that_contradict_each_other(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Quantize.model_validate(values)


def test_only_auto_depends_on_gates_and_machine() -> None:
    assert Quantize(keep_float=("first",), sensitivity=True).needs() == ()
    assert set(Quantize(keep_float="auto").needs()) == {"gates", "targets", "machine"}
