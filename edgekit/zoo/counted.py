"""The counts of the catalogue's networks, kept in ``counted.json`` so that listing them builds nothing.

``python -m edgekit.zoo.counted`` writes the file anew; a test compares it with the networks.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import counts
from edgekit.zoo import catalogue, published, timm_models

if TYPE_CHECKING:
    from torch import nn

    from edgekit.zoo.catalogue import Entry

FILE = "counted.json"


@functools.cache
def read() -> dict[str, Any]:
    """What the file holds, by network: results of ``count``."""
    text = resources.files("edgekit.zoo").joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def count(entry: Entry) -> dict[str, Any]:
    """Counts of one network for its entry's input size and number of classes, as JSON.

    Returns:
        ``parameters``; ``macs`` with the fields of ``counts.Macs``; ``merged``: both of the network with its
        training branches merged, none where it has none; ``arguments``: those it takes, with their defaults;
        ``figures``: edgekit's count beside each of ``published.FIGURES``, in their order.
    """
    figures = published.FIGURES.get(entry.name, ())
    plain = {classes: _counts(on_meta(entry, classes), entry) for classes in _classes(entry, figures, False)}
    merged = {classes: _merged(entry, classes) for classes in _classes(entry, figures, True)}
    return {
        **(plain[entry.num_classes] or {}),
        "merged": merged[entry.num_classes],
        "arguments": catalogue.arguments_of(entry),
        "figures": [
            _beside(figure, (merged if figure.fused else plain)[figure.num_classes or entry.num_classes])
            for figure in figures
        ],
    }


def build(entry: Entry, num_classes: int) -> nn.Module:
    """The network with random weights, for the channels of its entry."""
    if entry.factory is None:
        return timm_models.build(entry.name, {}, num_classes, entry.input_size[0])
    return catalogue.build(entry, {}, num_classes, entry.input_size[0])


def on_meta(entry: Entry, num_classes: int) -> nn.Module:
    """The network in eval mode without its weights, on torch's meta device, where running it computes nothing."""
    import torch

    # timm's networks can be built there; those of edgekit read numbers from tensors while they are built.
    with torch.device("meta" if entry.factory is None else "cpu"):
        return build(entry, num_classes).eval().to("meta")


def _classes(entry: Entry, figures: tuple[published.Figure, ...], fused: bool) -> set[int]:
    return {entry.num_classes, *(one.num_classes or entry.num_classes for one in figures if one.fused == fused)}


def _counts(network: nn.Module, entry: Entry) -> dict[str, Any]:
    return {
        "parameters": counts.parameters(network),
        "macs": asdict(counts.breakdown(network, entry.input_size)),
    }


def _merged(entry: Entry, num_classes: int) -> dict[str, Any] | None:
    """Counts with the training branches merged, which is done on real weights."""
    from edgekit.passes import reparameterize

    parts = on_meta(entry, num_classes).modules()
    if not any(callable(getattr(type(part), name, None)) for part in parts for name in reparameterize.METHODS):
        return None
    network, merged = reparameterize.merge(build(entry, num_classes).eval())
    return _counts(network.to("meta"), entry) if merged else None


def _beside(figure: published.Figure, ours: dict[str, Any] | None) -> int:
    assert ours is not None, f"{figure} is of a network with merged branches, and this one has none"
    if figure.quantity == "parameters":
        return int(ours["parameters"])
    macs = counts.Macs(**ours["macs"])
    return macs.linear_and_convolution if figure.quantity == "layers" else macs.total


def _write() -> None:
    found = {}
    for entry in catalogue.LISTED:
        found[entry.name] = count(entry)
        print(entry.name, found[entry.name]["parameters"], found[entry.name]["macs"])
    Path(str(resources.files("edgekit.zoo").joinpath(FILE))).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    _write()
