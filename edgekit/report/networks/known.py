"""One network with its counts, the papers' figures and what the runtimes made of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgekit.counts import Macs
from edgekit.zoo import catalogue, counted, exported, published
from edgekit.zoo.catalogue import Entry
from edgekit.zoo.published import Figure


@dataclass(frozen=True)
class Count:
    """Of one form of a network."""

    parameters: int
    macs: Macs


@dataclass(frozen=True)
class Known:
    """All that is known of one network.

    Attributes:
        entry: of the catalogue.
        plain: its counts as it is built; none where nobody counted it yet.
        merged: its counts with the training branches merged; none where it has none.
        arguments: those it takes, with their defaults.
        figures: the papers' figures, each with edgekit's count beside it.
        runtimes: results of ``zoo.exported.check`` by runtime; empty where none was tried.
    """

    entry: Entry
    plain: Count | None
    merged: Count | None
    arguments: dict[str, Any]
    figures: tuple[tuple[Figure, int], ...]
    runtimes: dict[str, dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """For ``edgekit models --json``; parameters and MACs are whole numbers."""
        one = self.entry
        return {
            "name": one.name,
            "task": one.task,
            "source": one.source,
            "package": "timm" if one.factory is None else "edgekit",
            "input_size": list(one.input_size),
            "num_classes": one.num_classes,
            "parameters": self.plain and self.plain.parameters,
            "macs": self.plain and self.plain.macs.total,
            "macs_breakdown": self.plain and asdict(self.plain.macs),
            "merged": self.merged
            and {
                "parameters": self.merged.parameters,
                "macs": self.merged.macs.total,
                "macs_breakdown": asdict(self.merged.macs),
            },
            "arguments": self.arguments,
            "published": [
                {**asdict(figure), "ours": ours, "agrees": figure.agrees(ours)} for figure, ours in self.figures
            ],
            "runtimes": self.runtimes,
        }


def known(entry: Entry) -> Known:
    """Put together from the catalogue's files."""
    found = counted.read().get(entry.name)
    runtimes = exported.read().get(entry.name, {})
    if found is None:
        return Known(entry, None, None, {}, (), runtimes)
    figures = tuple(zip(published.FIGURES.get(entry.name, ()), found["figures"], strict=True))
    return Known(entry, _count(found), _count(found["merged"]), found["arguments"], figures, runtimes)


def all_known() -> list[Known]:
    """Every network of the catalogue, edgekit's own first."""
    return [known(entry) for entry in catalogue.LISTED]


def _count(found: dict[str, Any] | None) -> Count | None:
    return Count(found["parameters"], Macs(**found["macs"])) if found else None
