"""A table of an analysis: one row a corruption, a data set or a pair of classes, one column an artifact."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.report.figures import Shown


@dataclass(frozen=True)
class Analysis:
    """What a report shows of one analysis.

    Attributes:
        title: of the table.
        headings: the first is that of the rows' names.
        rows: name and cells.
        said: sentences below the table.
    """

    title: str
    headings: list[str]
    rows: list[tuple[str, list[Shown]]]
    said: list[str] = field(default_factory=list)
