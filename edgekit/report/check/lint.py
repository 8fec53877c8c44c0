"""A checklist without its record: what can be told from its words alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgekit.report.check.claims import claims
from edgekit.report.check.finding import Finding
from edgekit.report.check.reproduce import reproduce
from edgekit.report.check.required import CATEGORIES, Required
from edgekit.report.check.written import Category, WrittenItem, parse
from edgekit.report.check.written_figures import figures

#: How an item is told to be missing; a colon and the reason must follow.
_ABSENT = re.compile(
    r"\bnot (?:been )?(?:measured|reported|recorded|printed|readable|stated|evaluated|tested|available|done)\b"
    r"|\bdoes not apply\b|\bnot applicable\b|\bn\.?/?a\.?(?=$|[\s:;,(])|\bn\.m\.(?=$|[\s:;,(])",
    re.IGNORECASE,
)
#: What follows such words when they give a reason.
_REASON = re.compile(
    r"^\s*(?:\(\d+\))?\s*(?:[:,;(\u2013\u2014-]|because|since|as|for want|on|by|in)\s*[^\s:;,.()]*\w{2,}",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"^[\s.\-\u2013\u2014_?]*$"
    r"|^(?:tbd|todo|tba|xxx?|unknown|unclear|to be (?:done|added|determined)|fill in)\b[.!]?$",
    re.IGNORECASE,
)


def lint(text: str, name: str) -> list[Finding]:
    """What is missing, unexplained or contradictory; notes on what a reader could not make again come last.

    Args:
        text: Markdown, in the form of ``checklist.md``: a heading for each category, its items as bullets
            ``**Name:** text`` or as columns of a table with a row for each artifact.
        name: of the file, for the findings.
    """
    written = parse(text)
    found: list[Finding] = []
    items: dict[str, WrittenItem] = {}
    for title, words, required in CATEGORIES:
        mine = [one for one in written if one.title and words.search(one.title)]
        # 'Numerical precision' and 'Memory' may stand in other headings too: the best match is the whole title.
        exact = [one for one in mine if title.lower() in one.title.lower()] or mine[:1]
        if not exact:
            found.append(Finding("missing", name, f"no category '{title}'"))
            continue
        found += _category(exact[0], required, items, name)
    found += [*figures(items, text, name), *claims(items, text, name), *reproduce(items, text, name)]
    return found


def _category(
    category: Category, required: tuple[Required, ...], items: dict[str, WrittenItem], name: str
) -> Iterator[Finding]:
    left = list(category.items)
    for one in required:
        item = next((item for item in left if one.name.lower() == item.name.lower()), None)
        # One line may hold two items, such as 'ECE and NLL'; what is in brackets explains and names nothing.
        named = (item for item in (*left, *category.items) if one.words.search(item.name.partition("(")[0]))
        item = item or next(named, None)
        if item is None:
            yield Finding("missing", f"{name}:{category.line}", f"{category.title} lacks '{one.name}'")
            continue
        if item in left:
            left.remove(item)
        items[one.name] = item
        yield from _item(item, one, name)
    for item in left:
        # What is beyond the list must be as complete: an item without text helps nobody.
        yield from _blank(item, name)


def _blank(item: WrittenItem, name: str) -> Iterator[Finding]:
    if not item.said:
        yield Finding("missing", f"{name}:{item.line}", f"'{item.name}' is blank")
    for said in item.said:
        where = f"{name}:{said.line}"
        of = f" of {said.of}" if said.of else ""
        if _PLACEHOLDER.match(said.text):
            yield Finding(
                "missing", where, f"'{item.name}'{of} is blank: give the figure, or 'not measured: reason'"
            )
        elif (absent := _ABSENT.search(said.text)) and not _explained(said.text, absent):
            yield Finding("missing", where, f"'{item.name}'{of} is '{absent.group()}' without the reason")


def _explained(text: str, absent: re.Match[str]) -> bool:
    """A reason follows, or stands before it, as in 'no meter: not measured'."""
    before = text[: absent.start()].strip(" :;,.-")
    return bool(_REASON.match(text[absent.end() :])) or len(before) > len(absent.group())


def _item(item: WrittenItem, required: Required, name: str) -> Iterator[Finding]:
    yield from _blank(item, name)
    if required.unit is None:
        return
    for said in item.said:
        if _PLACEHOLDER.match(said.text) or _ABSENT.search(said.text):
            continue
        if not required.unit.search(said.text):
            what = "a figure with its unit" if re.search(r"\d", said.text) else "a figure"
            text = f"'{item.name}' holds no {what.removeprefix('a ')}, such as {required.example}: {said.text[:60]}"
            yield Finding("unit", f"{name}:{said.line}", text)
