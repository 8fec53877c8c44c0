"""Outputs of the official networks' parts: the folder ``golden`` beside the one that EDGEKIT_DATA names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def arrays(name: str) -> dict[str, Tensor]:
    """What ``name.npz`` holds; skips the test where the folder is not here."""
    with np.load(_folder() / f"{name}.npz") as held:
        return {key: torch.from_numpy(held[key]) for key in held.files}


def loaded(network: nn.Module, held: dict[str, Tensor]) -> nn.Module:
    """``network`` in eval mode with the official weights ``w/NAME``."""
    network.load_state_dict({key.removeprefix("w/"): one for key, one in held.items() if key.startswith("w/")})
    return network.eval()


def assert_close(given: Tensor, wanted: Tensor) -> None:
    """Within the error of float32 sums in another order, as the folder's notes state it."""
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


def entries(name: str) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and dtype of each ``state_dict`` entry of a whole official network, in order."""
    said = json.loads((_folder() / f"keys_{name}.json").read_text(encoding="utf-8"))
    return [(key, tuple(shape), dtype) for key, shape, dtype in said["state_dict"]]


def entries_of(network: nn.Module) -> list[tuple[str, tuple[int, ...], str]]:
    """The same of ``network``."""
    return [
        (key, tuple(one.shape), str(one.dtype).removeprefix("torch.")) for key, one in network.state_dict().items()
    ]


def _folder() -> Path:
    data = os.environ.get("EDGEKIT_DATA")
    folder = Path(data).parent / "golden" if data else None
    if folder is None or not (folder / "index.json").exists():
        pytest.skip("no folder 'golden' beside the one that EDGEKIT_DATA names")
    return folder
