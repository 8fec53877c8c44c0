"""Lets torchvision, and so timm, be imported where torchvision's compiled operators cannot be loaded.

The registries' Linux wheels of torchvision are linked against CUDA. Beside a CPU build of PyTorch that library
does not load, and ``import torchvision`` then fails with "operator torchvision::nms does not exist", because it
describes operators that nobody declared. Declaring the two schemas is enough for everything but those operators.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import missing_package

if TYPE_CHECKING:
    from torch.library import Library

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def declare() -> Library | None:
    """Make ``import torchvision`` work; call it before the first import of torchvision or timm.

    Returns:
        The library that holds the declared schemas, or none where torchvision's own operators are available.
        The cache keeps it alive: the schemas vanish with it.

    Raises:
        MissingError: torch or torchvision is not installed.
    """
    try:
        import torch
    except ImportError:
        raise missing_package("torch", "torch") from None
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise missing_package("torchvision", "torch")
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    operators: Any = torch.ops
    for compiled in sorted(Path(found.origin).parent.glob("_C*.so")):
        try:
            operators.load_library(str(compiled))
        except (OSError, ImportError):
            continue
        if hasattr(torch.ops.torchvision, "nms"):
            return None
    make: Any = torch.library.Library
    library: Library = make("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library
