"""What a pass did to the sizes of a network, as plain JSON, and doing it again.

An edit lists, for each module, the numbers that it keeps of its own size and that changed (``out_channels``,
``num_heads``, ...), and the new shape of each parameter and buffer. Setting these needs no knowledge of the pass.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from torch import nn

_ALTERED = "the model was altered; make it again"
#: More elements than any network has: a file that says so is wrong.
_LARGEST = 2**32


def difference(before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """The edit that makes the shapes of ``before`` those of ``after``; both have the same modules."""
    attributes: dict[str, dict[str, Any]] = {}
    changed = dict(after.named_modules())
    for name, module in before.named_modules():
        old, new = vars(module), vars(changed[name])
        own = {
            key: list(new[key]) if isinstance(new[key], tuple) else new[key]
            for key, value in old.items()
            if _plain(key, value) and key in new and new[key] != value
        }
        if own:
            attributes[name] = own
    return {
        "attributes": attributes,
        "parameters": _changed(dict(before.named_parameters()), dict(after.named_parameters())),
        "buffers": _changed(dict(before.named_buffers()), dict(after.named_buffers())),
    }


def apply(network: nn.Module, edit: dict[str, Any]) -> None:
    """Give ``network``, in place, the shapes that ``edit`` says. New tensors hold zeros.

    Raises:
        InputError: the edit names what the network does not have, or values of another kind.
    """
    import torch

    for name, values in _section(edit, "attributes"):
        module = _module(network, name)
        if not isinstance(values, dict):
            raise _unfit(f"the attributes of '{name}' are {values!r}")
        for key, value in values.items():
            value = tuple(value) if isinstance(value, list) else value
            old = vars(module).get(key)
            if not _plain(key, old) or type(value) is not type(old) or not _plain(key, value):
                raise _unfit(f"'{name}' has no attribute '{key}' that could become {value!r}")
            setattr(module, key, value)
    for section in ("parameters", "buffers"):
        for name, shape in _section(edit, section):
            owner, _, own = name.rpartition(".")
            module = _module(network, owner)
            held = module._parameters if section == "parameters" else module._buffers
            old = held.get(own)
            if not isinstance(old, torch.Tensor) or not _is_shape(shape, old.ndim):
                raise _unfit(f"'{name}' cannot have the shape {shape!r}")
            new = torch.zeros(shape, dtype=old.dtype)
            setattr(module, own, torch.nn.Parameter(new) if section == "parameters" else new)


def _plain(key: str, value: Any) -> bool:
    """Whether an attribute is a size or a number that follows from one; names with an underscore are private."""
    if key.startswith("_") or key == "training":
        return False
    if isinstance(value, tuple):
        return bool(value) and all(type(one) is int for one in value)
    return type(value) in (bool, int) or (type(value) is float and math.isfinite(value))


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[int]]:
    return {name: list(after[name].shape) for name, one in before.items() if after[name].shape != one.shape}


def _section(edit: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    section = edit.get(name)
    if not isinstance(section, dict):
        raise _unfit(f"'{name}' is {section!r}")
    return list(section.items())


def _is_shape(shape: Any, dims: int) -> bool:
    sizes = isinstance(shape, list) and len(shape) == dims and all(type(one) is int and one > 0 for one in shape)
    return sizes and math.prod(shape) <= _LARGEST


def _module(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        raise _unfit(f"the network has no module '{name}'") from None


def _unfit(problem: str) -> InputError:
    return InputError(problem, where="edits", remedy=_ALTERED)
