"""What a checklist is made of: categories of items, each a value or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured

#: With more different lines than this an item is easier to read as a column of a table.
_LINES = 3


@dataclass(frozen=True)
class Item:
    """One item: exactly one of ``value`` and ``reason`` holds text.

    Where artifacts differ, ``each`` holds what is shown of every one, and the text has a line for each group of
    artifacts that share it. ``prose`` is set where that is text, which no table's column suits.
    """

    name: str
    value: str | None = None
    reason: str | None = None
    each: dict[str, Shown] = field(default_factory=dict)
    prose: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError when both or neither of value and reason hold text."""
        Shown(self.value, self.reason)

    @property
    def lines(self) -> list[str]:
        """The text, one line each."""
        return (self.value or self.reason or "").split("\n")

    @property
    def column(self) -> bool:
        """Whether it belongs into a table with a row for each artifact."""
        return bool(self.each) and not self.prose and len(self.lines) > _LINES


@dataclass(frozen=True)
class Section:
    """One category of the checklist."""

    title: str
    items: list[Item]


def item(name: str, shown: Shown) -> Item:
    """``shown`` under ``name``."""
    return Item(name, shown.value, shown.reason)


def per_artifact(
    name: str,
    artifacts: Iterable[str],
    figure: Callable[[str], Shown],
    none: str = "the record holds no artifact",
    prose: bool = False,
) -> Item:
    """An item of which every artifact has its own figure.

    Args:
        name: of the item.
        artifacts: names.
        figure: what is shown of one artifact.
        none: why the item is not measured when there are no artifacts.
        prose: it is text rather than figures.
    """
    each = {one: figure(one) for one in artifacts}
    groups: dict[Shown, list[str]] = {}
    for one, shown in each.items():
        groups.setdefault(shown, []).append(one)
    if len(groups) <= 1:
        return item(name, next(iter(groups), not_measured(none)))
    text = "\n".join(
        f"{', '.join(map(oneline, members))}: {oneline(shown.text)}" for shown, members in groups.items()
    )
    if any(shown.value for shown in groups):
        return Item(name, value=text, each=each, prose=prose)
    return Item(name, reason=text, each=each, prose=prose)
