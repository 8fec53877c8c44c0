"""A checklist in Markdown as somebody wrote it: its categories, the items in each, and what is said of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HEADING = re.compile(r"^#{1,6}\s+(?:\d+[.)]?\s*)?(.*?)\s*#*$")
_BULLET = re.compile(r"^(\s*)[-*+]\s+(.*)$")
#: ``**Name:** text``, ``**Name**: text`` or ``Name: text``.
_NAMED = re.compile(
    r"^(?:\*\*|__)(?P<bold>[^*]+?):?(?:\*\*|__):?\s*(?P<said>.*)$|^(?P<name>[^:|]{2,90}):\s*(?P<text>.*)$"
)
_NOTE = re.compile(r"^(\(\d+\))\s+(.+?)\s*$")
_RULE = re.compile(r"^\|?[\s:|-]+\|?$")


@dataclass
class Said:
    """One statement: of one artifact where it stands in a table or a list, and the line that it stands on."""

    text: str
    line: int
    of: str = ""


@dataclass
class WrittenItem:
    """One item and what is said of it."""

    name: str
    line: int
    said: list[Said] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ; ".join(f"{one.of}: {one.text}" if one.of else one.text for one in self.said)


@dataclass
class Category:
    """One heading and its items."""

    title: str
    line: int
    items: list[WrittenItem] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> list[Category]:
    """Every heading of ``text`` with its items: bullets ``**Name:** text``, rows or columns of tables.

    A table whose first heading is ``item`` has an item in each row; in any other each further column is an item,
    and each row says it of one artifact. Marks such as ``(1)`` stand for the reason below the table.
    """
    found: list[Category] = [Category("", 1)]
    heads: list[str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        category = found[-1]
        if heading := _HEADING.match(line):
            found.append(Category(plain(heading[1]), number))
            heads = None
        elif line.startswith("|"):
            cells = [plain(cell) for cell in _cells(line)]
            if _RULE.match(line):
                continue
            if heads is None:
                heads = cells
                _columns(category, heads, number)
            else:
                _row(category, heads, cells, number)
        elif bullet := _BULLET.match(raw):
            heads = None
            _bullet(category, bool(bullet[1]), bullet[2].strip(), number)
        else:
            heads = None
            if note := _NOTE.match(line):
                category.notes[note[1]] = plain(note[2])
            elif line and raw[:1].isspace() and category.items and category.items[-1].said:
                category.items[-1].said[-1].text += f" {plain(line)}"
    for category in found:
        _explain(category)
    return found


def plain(text: str) -> str:
    """``text`` without emphasis and escapes."""
    bare = re.sub(r"(?<!\\)(\*\*|\*|__|`)", "", text)
    bare = re.sub(r"\\([\\`*_\[\]|~$#.()+-])", r"\1", bare)
    return bare.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))


def _bullet(category: Category, nested: bool, text: str, number: int) -> None:
    if nested and category.items:
        said = plain(text)
        of, _, rest = said.partition(": ")
        category.items[-1].said.append(Said(rest, number, of) if rest else Said(said, number))
        return
    named = _NAMED.match(text)
    if named is None:
        return
    name, said = (named["bold"], named["said"]) if named["bold"] else (named["name"], named["text"])
    item = WrittenItem(plain(name), number)
    if plain(said):
        item.said.append(Said(plain(said), number))
    category.items.append(item)


def _columns(category: Category, heads: list[str], number: int) -> None:
    if heads and heads[0].lower() != "item":
        category.items += [WrittenItem(name, number) for name in heads[1:]]


def _row(category: Category, heads: list[str], cells: list[str], number: int) -> None:
    if heads[0].lower() == "item":
        text = "; ".join(cells[1:]).strip("; ")
        category.items.append(WrittenItem(cells[0], number, [Said(text, number)] if text else []))
        return
    columns = category.items[len(category.items) - len(heads) + 1 :] if len(heads) > 1 else []
    for item, text in zip(columns, cells[1:], strict=False):
        item.said.append(Said(text, number, cells[0]))


def _explain(category: Category) -> None:
    """Put the reasons in the place of their marks, and what another item says where one points to it."""
    for item in category.items:
        for one in item.said:
            for mark, reason in category.notes.items():
                one.text = one.text.replace(mark, f": {reason}").replace(" : ", ": ")
    for item in category.items:
        pointed = re.match(r"as '(.+)' above$", item.text)
        other = next((one for one in category.items if pointed and one.name == pointed[1]), None)
        if other is not None:
            item.said = [Said(one.text, item.line, one.of) for one in other.said]
