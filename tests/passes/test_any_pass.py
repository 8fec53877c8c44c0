from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.passes import AnyPass, by_kind

ADAPTER: TypeAdapter[object] = TypeAdapter(AnyPass)


def test_every_kind_builds_its_class() -> None:
    assert set(by_kind()) == {
        "finetune",
        "distill",
        "prune",
        "prune_states",
        "factorize",
        "reparameterize",
        "fold_batchnorm",
        "quantize",
        "qat",
    }
    needed: dict[str, dict[str, float]] = {
        "prune": {"macs": 0.5},
        "prune_states": {"states": 4},
        "factorize": {"energy": 0.9},
    }
    for kind, config in by_kind().items():
        assert type(ADAPTER.validate_python({"kind": kind, **needed.get(kind, {})})) is config


def test_unknown_kind() -> None:
    with pytest.raises(ValidationError, match="prunee"):
        ADAPTER.validate_python({"kind": "prunee"})


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ("finetune", "quantize"),
        ("finetune", "fold_batchnorm"),
        ("reparameterize", "fold_batchnorm"),
        ("fold_batchnorm", "quantize"),
        ("quantize", "quantize"),
        ("prune", "quantize"),
        ("prune", "qat"),
        ("factorize", "quantize"),
        ("factorize", "qat"),
        ("reparameterize", "factorize"),
        ("distill", "qat"),
        ("qat", "qat"),
    ],
)
def test_impossible_orders_have_a_reason(kind: str, before: str) -> None:
    assert len(by_kind()[kind].not_after[before]) > 10


def test_importing_loads_no_torch() -> None:
    code = "import sys, edgekit.passes; print(sorted({'torch', 'timm'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
