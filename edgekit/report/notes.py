"""Footnotes: why a figure of a table is missing."""

from __future__ import annotations

from edgekit.report.figures import Shown


class Notes:
    """Reasons that stand under a table, numbered; equal reasons share a number."""

    def __init__(self) -> None:
        """No reason yet."""
        self._numbers: dict[str, int] = {}

    def refer(self, reason: str) -> str:
        """``(1)``."""
        return f"({self._numbers.setdefault(reason, len(self._numbers) + 1)})"

    def cell(self, shown: Shown) -> str:
        """The value, or how it is missing with the number of the reason."""
        return shown.text if shown.why is None else f"{shown.kind} {self.refer(shown.why)}"

    def rows(self) -> list[tuple[str, str]]:
        """Number and reason, in order."""
        return [(f"({number})", reason) for reason, number in self._numbers.items()]
