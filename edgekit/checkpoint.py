"""Reads a checkpoint as named tensors. Never executes what a file holds."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError, missing_package

if TYPE_CHECKING:
    from torch import Tensor

_CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema", "model_ema", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "vmunet.")
_SHOWN = 8
_GLOBAL = re.compile(r"(?:GLOBAL|global:) (?:GLOBAL )?([\w.]+)")
_TENSORS_ONLY = (
    "where it was made, save the tensors alone: safetensors.torch.save_file(model.state_dict(), 'a.safetensors')"
)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, under their names, in the file's order, on the CPU.

    A safetensors file, or one of ``torch.save`` read with ``weights_only=True``. Containers (``state_dict``,
    ``model`` and the like) are opened, and prefixes (``module.``, ``_orig_mod.``, ``model.``, ``net.``) that
    every name carries are taken off.

    Raises:
        InputError: no such file, truncated, not a checkpoint, holds pickled code, holds no tensors, or a
            tensor holds numbers that are not finite.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as handle:
            start = handle.read(16)
    except FileNotFoundError:
        raise InputError(
            "no such checkpoint", where=str(path), remedy="give the path of a .safetensors, .pth or .pt file"
        ) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    if size_bytes == 0:
        raise InputError("the file is empty", where=str(path), remedy="copy or download it again")
    found = read_safetensors(path) if _is_safetensors(start, path) else _read_torch(path, start)
    tensors = _named_tensors(found, path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(
                f"the tensor '{name}' holds numbers that are not finite",
                where=str(path),
                remedy="the training diverged; use an earlier checkpoint",
            )
    return tensors


def _is_safetensors(start: bytes, path: Path) -> bool:
    # 8 bytes of header length, then a JSON object.
    return path.suffix == ".safetensors" or start[8:9] == b"{"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file as they are.

    Raises:
        InputError: no such file, or not a whole one.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise missing_package("safetensors", "torch") from None
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"is no whole safetensors file: {error}", where=str(path), remedy="copy or download it again"
        ) from None
    return tensors


def _read_torch(path: Path, start: bytes) -> Any:
    import pickle

    try:
        import torch
    except ImportError:
        raise missing_package("torch", "torch") from None
    zipped = start.startswith(b"PK")
    if zipped and not zipfile.is_zipfile(path):
        raise InputError("the file is truncated", where=str(path), remedy="copy or download it again")
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                raise InputError(
                    "is a zip file, but no checkpoint",
                    where=str(path),
                    remedy="unpack it and give the .pth, .pt or .safetensors file inside",
                )
            if any("/code/" in name for name in archive.namelist()):
                raise InputError("is a TorchScript program, which is code", where=str(path), remedy=_TENSORS_ONLY)
    elif not start.startswith((b"\x80", b"\x1f\x8b")):
        raise InputError(
            "is not a checkpoint (neither safetensors nor written by torch.save)",
            where=str(path),
            remedy="give a .safetensors, .pth or .pt file that holds the tensors",
        )
    try:
        with warnings.catch_warnings():
            # PyTorch warns of foreign pickles before it refuses them; the error below says it better.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = _GLOBAL.search(str(error))
        what = f"the object '{culprit.group(1)}'" if culprit else "more than tensors and plain values"
        raise InputError(
            f"is refused, since it is a pickle with {what}, and loading that could run code",
            where=str(path),
            remedy=_TENSORS_ONLY,
        ) from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OSError,
        struct.error,
    ) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"is truncated or damaged: {first}", where=str(path), remedy="copy or download it again"
        ) from None


def _named_tensors(found: Any, path: Path) -> dict[str, Tensor]:
    import torch

    opened = True
    while opened:
        opened = False
        for name in _CONTAINERS:
            inner = found.get(name) if isinstance(found, Mapping) else None
            if isinstance(inner, Mapping) and inner:
                found, opened = inner, True
                break
    tensors = {
        str(name): value.detach()
        for name, value in (found.items() if isinstance(found, Mapping) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        held = (
            f"; it holds {', '.join(map(str, list(found)[:_SHOWN]))}"
            if isinstance(found, Mapping) and found
            else ""
        )
        raise InputError(
            f"holds no named tensors{held}",
            where=str(path),
            remedy=f"save the network's state_dict(), plainly or under {' or '.join(_CONTAINERS[:3])}",
        )
    odd = [name for name, tensor in tensors.items() if tensor.layout != torch.strided or tensor.is_quantized]
    if odd:
        raise InputError(
            f"the tensor '{odd[0]}' is sparse or quantized",
            where=str(path),
            remedy="save it as a dense float tensor",
        )
    prefix = common_prefix(list(tensors))
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def common_prefix(names: list[str]) -> str:
    """The wrappers' prefixes (``module.``, ``_orig_mod.``, ``model.``, ``net.``) that all ``names`` carry."""
    prefix = ""
    while True:
        for more in _PREFIXES:
            if all(name.startswith(prefix + more) and len(name) > len(prefix + more) for name in names):
                prefix += more
                break
        else:
            return prefix
