"""Footnotes of the table: why a paper's figure differs, and why a runtime does not take a network."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase

from edgekit.report.networks.known import Known
from edgekit.zoo.published import Figure


class Notes:
    """Marks a, b, ... z, aa, ab, ... in the order in which their texts are first asked for."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        self._free = ("".join(letters) for length in (1, 2) for letters in product(ascii_lowercase, repeat=length))

    def mark(self, text: str) -> str:
        """The mark of ``text``; equal texts share one."""
        if text not in self._marks:
            self._marks[text] = next(self._free)
        return self._marks[text]

    def lines(self) -> list[str]:
        """``mark: text``, in order."""
        return [f"{mark}: {text}" for text, mark in self._marks.items()]


def of_figure(network: Known, figure: Figure, ours: int) -> str:
    """What a reader must know of a paper's figure beside the counts of the table; empty where nothing."""
    parts = []
    if figure.num_classes not in (None, network.entry.num_classes):
        parts.append(f"for {figure.num_classes} classes" + (", where ours agrees" if figure.agrees(ours) else ""))
    if figure.reason:
        parts.append(figure.reason)
    return "; ".join(parts)


def of_failures(network: Known) -> str:
    """Why each runtime that fails does."""
    return "; ".join(f"{name}: {found['failed']}" for name, found in network.runtimes.items() if "failed" in found)
