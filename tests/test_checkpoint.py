from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgekit import checkpoint
from edgekit.errors import InputError

TENSORS = {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2)}


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: one for name, one in TENSORS.items()}


@pytest.mark.parametrize(
    "content",
    [
        TENSORS,
        {"state_dict": TENSORS, "epoch": 3, "best": 0.9},
        {"model": TENSORS, "optimizer": {"state": {}}},
        {"model_state_dict": {"net": TENSORS}},
        prefixed("module."),
        {"state_dict": prefixed("module.model.")},
        prefixed("_orig_mod."),
        {name: torch.nn.Parameter(one) for name, one in TENSORS.items()},
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_containers_and_prefixes(content: dict[str, Any], legacy: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.th"
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    found = checkpoint.read(file)
    assert list(found) == list(TENSORS)
    assert all(torch.equal(found[name], one) for name, one in TENSORS.items())


def test_prefix_of_some_names_stays(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "a.pth")
    assert list(checkpoint.read(tmp_path / "a.pth")) == ["module.a", "b"]


def test_safetensors_under_any_name(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.bin"):
        save_file(prefixed("module."), tmp_path / name)
        assert set(checkpoint.read(tmp_path / name)) == set(TENSORS)


def whole(tmp_path: Path, legacy: bool) -> bytes:
    torch.save({"weight": torch.randn(100)}, tmp_path / "whole", _use_new_zipfile_serialization=not legacy)
    return (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated(legacy: bool, share: float, tmp_path: Path) -> None:
    content = whole(tmp_path, legacy)
    (tmp_path / "a.pth").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a.pth: .*(truncated|damaged|not a checkpoint)"):
        checkpoint.read(tmp_path / "a.pth")


@pytest.mark.parametrize("size", [4, 30, 200])
def test_truncated_safetensors(size: int, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "whole")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "whole").read_bytes()[: min(size, 150)])
    with pytest.raises(InputError, match=r"no whole safetensors file.*copy or download it again"):
        checkpoint.read(tmp_path / "a.safetensors")


def test_pickled_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    remedy = r"could run code.*safetensors.torch.save_file"
    for legacy in (False, True):
        torch.save({"weight": Evil()}, "a.pth", _use_new_zipfile_serialization=not legacy)
        with pytest.raises(InputError, match=rf"'posix.mkdir'.*{remedy}"):
            checkpoint.read(Path("a.pth"))
    torch.save({"weight": torch.ones(1), "args": argparse.Namespace(lr=1)}, "b.pth")
    with pytest.raises(InputError, match=rf"'argparse.Namespace'.*{remedy}"):
        checkpoint.read(Path("b.pth"))
    Path("c.pkl").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(InputError, match=remedy):
        checkpoint.read(Path("c.pkl"))
    torch.save(torch.nn.Linear(2, 2), "d.pth")
    with pytest.raises(InputError, match=rf"'torch.nn.modules.linear.Linear'.*{remedy}"):
        checkpoint.read(Path("d.pth"))
    assert not Path("executed").exists()


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"x")
        archive.writestr("net/code/__torch__.py", "x")
    with pytest.raises(InputError, match="is a TorchScript program, which is code"):
        checkpoint.read(tmp_path / "a.pt")


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("hello, I am a README\n" * 3)
    (tmp_path / "empty.pth").touch()
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("model/readme.txt", "hello")
    (tmp_path / "folder").mkdir()
    for name, message in {
        "text.pth": r"text.pth: is not a checkpoint \(neither safetensors nor written by torch.save\)",
        "empty.pth": "the file is empty",
        "zip.pth": "is a zip file, but no checkpoint",
        "absent.pth": "no such checkpoint",
        "folder": "cannot be read: Is a directory",
    }.items():
        with pytest.raises(InputError, match=message):
            checkpoint.read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "arch": "resnet"}, r"holds no named tensors; it holds epoch, arch"),
        ([torch.ones(3)], "holds no named tensors"),
        (torch.ones(3), "holds no named tensors"),
        ({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, "'b' holds numbers that are not finite"),
        ({"a": torch.tensor([float("inf")])}, "'a' holds numbers that are not finite"),
        ({"a": torch.eye(2).to_sparse()}, "'a' is sparse or quantized"),
    ],
)
def test_unusable_content(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        checkpoint.read(tmp_path / "a.pth")
