"""Real trainings in two processes on the CPU."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.data.prepared import Prepared
from edgekit.model import Model
from edgekit.passes.base import Context, PassError
from edgekit.training.loop import fit
from edgekit.training.settings import Training
from tests.networks import small_model


def run(prepared: Prepared, **values: Any) -> tuple[Model, dict[str, Any], list[tuple[float, str]]]:
    """Without BatchNorm and augmentation, so that the number of devices should change nothing but rounding."""
    model, told = small_model(), list[tuple[float, str]]()
    settings = Training(accelerator="cpu", epochs=2, batch_size=8, learning_rate=0.05, optimizer="sgd", **values)
    context = Context(prepared, lambda fraction, text: told.append((fraction, text)))
    return model, fit(model, settings, context, where="finetune"), told


def test_two_processes_train_as_one(prepared: Prepared) -> None:
    alone, together, again = run(prepared), run(prepared, devices=2), run(prepared, devices=2)
    for name, one in together[0].network.state_dict().items():
        assert torch.equal(one, again[0].network.state_dict()[name]), "not the same when run again"
        # Batches of 7 images are divided 4 to 3; each image must still count the same.
        torch.testing.assert_close(one, alone[0].network.state_dict()[name], rtol=1e-3, atol=1e-4)
    assert together[1]["history"] == again[1]["history"]
    for a, b in zip(alone[1]["history"], together[1]["history"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
    assert (alone[1]["device"], together[1]["device"]) == ("cpu", "2 x cpu")
    assert [fraction for fraction, _ in together[2]] == [fraction for fraction, _ in alone[2]]
    assert not {"MASTER_PORT", "LOCAL_RANK"} & set(os.environ), "left over from the launch"
    assert not together[0].network.training


def test_errors_of_a_process_come_back(prepared: Prepared) -> None:
    def diverges(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, supervised: Any) -> torch.Tensor:
        loss: torch.Tensor = supervised(network(inputs), labels) * float("nan")
        return loss

    def breaks(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, supervised: Any) -> torch.Tensor:
        raise ValueError("no such layer")

    settings = Training(accelerator="cpu", epochs=1, batch_size=8, devices=2)
    with pytest.raises(PassError, match=r"finetune: the training diverged: the loss of epoch 1, step 1 is nan"):
        fit(small_model(), settings, Context(prepared), where="finetune", objective=diverges)
    with pytest.raises(PassError, match=r"a training process failed: ValueError: no such layer"):
        fit(small_model(), settings, Context(prepared), where="finetune", objective=breaks)
