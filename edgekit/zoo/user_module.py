"""The user's own network: a callable named on the command line, or one that an installed package offers.

Code runs only where the person at the keyboard named it (``--module``) or installed it (entry points). Nothing
that a recipe, a checkpoint or a saved model says can make edgekit import a module.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from torch import nn

GROUP = "edgekit.models"
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def entry_points() -> dict[str, metadata.EntryPoint]:
    """The networks that installed packages offer in the entry-point group ``edgekit.models``."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def build_entry_point(name: str, arguments: dict[str, Any], num_classes: int, in_channels: int) -> nn.Module:
    """Build the network of the entry point ``name``; see ``build`` for what its callable must take.

    Raises:
        InputError: its package cannot be imported, or the callable fails.
    """
    point = entry_points()[name]
    try:
        maker = point.load()
    except Exception as error:  # foreign code
        raise InputError(
            f"the entry point '{name}' ({point.value}) cannot be imported: {type(error).__name__}: {error}",
            where="model.architecture",
            remedy="repair or reinstall the package that offers it",
        ) from error
    return _call(maker, f"the entry point '{name}'", arguments, num_classes, in_channels)


def build(path: str, arguments: dict[str, Any], num_classes: int, in_channels: int) -> nn.Module:
    """Build the user's network.

    Args:
        path: ``package.module:callable``, looked for in the working folder first. The callable is called with
            ``num_classes``, ``in_channels`` and the arguments as keywords, and returns an ``nn.Module``.
        arguments: the recipe's ``model.arguments``.
        num_classes: K; the network gives logits ``[N, K]``.
        in_channels: C of the input ``[N, C, H, W]``.

    Raises:
        InputError: the path is malformed, cannot be imported, or the callable fails.
    """
    if not _PATH.fullmatch(path):
        raise InputError(
            f"'{path}' is not of the form package.module:callable",
            where="--module",
            remedy="such as --module my_models.nets:small_net",
        )
    module_name, _, attribute = path.partition(":")
    with _working_folder_first():
        try:
            found: Any = importlib.import_module(module_name)
        except Exception as error:  # foreign code
            raise InputError(
                f"'{module_name}' cannot be imported: {type(error).__name__}: {error}",
                where="--module",
                remedy=f"start edgekit in the folder that holds it (now {Path.cwd()}), or install its package",
            ) from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                offered = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
                raise InputError(
                    f"'{module_name}' has no '{attribute}'",
                    where="--module",
                    remedy=f"it offers: {', '.join(offered[:12]) or 'nothing that can be called'}",
                )
            found = getattr(found, part)
        return _call(found, f"'{path}'", arguments, num_classes, in_channels)


def _call(maker: Any, what: str, arguments: dict[str, Any], num_classes: int, in_channels: int) -> nn.Module:
    from torch import nn

    for name in ("num_classes", "in_channels"):
        if name in arguments:
            raise InputError(
                f"'{name}' cannot be set here",
                where=f"model.arguments.{name}",
                remedy="it comes from 'task.classes' and 'input.channels'",
            )
    if not callable(maker):
        raise InputError(f"{what} cannot be called", remedy="name a class or a function that returns an nn.Module")
    try:
        network = maker(num_classes=num_classes, in_channels=in_channels, **arguments)
    except Exception as error:  # foreign code
        raise InputError(
            f"{what} failed: {type(error).__name__}: {error}",
            where="model.arguments",
            remedy="it is called with num_classes, in_channels and the recipe's arguments as keywords",
        ) from error
    if not isinstance(network, nn.Module):
        raise InputError(
            f"{what} returned {type(network).__name__}, not an nn.Module", remedy="return the network itself"
        )
    return network


@contextmanager
def _working_folder_first() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
