"""The checklist, the table for a paper and the page beside a record: each line as the record gives it."""

from __future__ import annotations

import difflib
import html as markup
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from edgekit.evaluate.statistics import least_samples
from edgekit.record import Record
from edgekit.report import html, latex, markdown, plots, results
from edgekit.report.check.finding import Finding

_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_IMAGE = re.compile(r'(<img src="data:image/png;base64,)[^"]*(")')
_TITLE = re.compile(r"<figcaption>([^<]*)</figcaption>")
_SHOWN = 80


def _checklist(record: Record, given: str) -> str:
    titles = {title: f"pictures/{name}" for name, (title, _) in plots.PICTURES.items()}
    return markdown.render(record, {title: link for title, link in titles.items() if f"]({link})" in given})


def _table(record: Record, given: str) -> str:
    return latex.render(record)


def _page(record: Record, given: str) -> str:
    return html.render(record, dict.fromkeys(map(markup.unescape, _TITLE.findall(given)), b""))


#: File name -> what it must be for a record. Pictures are taken as they are.
VIEWS: dict[str, Callable[[Record, str], str]] = {
    "checklist.md": _checklist,
    "checklist.tex": _table,
    "report.html": _page,
}


def views(record: Record, folder: Path) -> Iterator[Finding]:
    """Every report that lies in ``folder``."""
    for name in VIEWS:
        if (folder / name).is_file():
            yield from view(record, folder / name, name)


def view(record: Record, path: Path, of: str) -> Iterator[Finding]:
    """Each line beside the line that the record gives: a figure that differs was changed by hand.

    Args:
        record: what the report was made from.
        path: of the report.
        of: the name under which edgekit writes it, a key of ``VIEWS``.
    """
    name, text = path.name, path.read_text(encoding="utf-8", errors="replace")
    given = _IMAGE.sub(r"\1\2", text).splitlines()
    try:
        wanted = _IMAGE.sub(r"\1\2", VIEWS[of](record, text)).splitlines()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Finding("text", name, f"cannot be made of this record: {error}")
        return
    yield from _percentiles(record, name, given)
    yield from _lines(name, given, wanted)


def is_checklist_of(record: Record, text: str) -> bool:
    """Whether ``text`` is titled as the checklist of ``record`` is."""
    return text.lstrip().partition("\n")[0].strip() == markdown.title(record)


def _lines(name: str, given: list[str], wanted: list[str]) -> Iterator[Finding]:
    shapes = [[_DIGITS.sub("#", line) for line in lines] for lines in (wanted, given)]
    same = difflib.SequenceMatcher(None, shapes[0], shapes[1], autojunk=False)
    for tag, a, b, c, d in same.get_opcodes():
        if tag == "equal":
            for right, number in zip(range(a, b), range(c, d), strict=True):
                if wanted[right] != given[number]:
                    text = f"{_differing(given[number], wanted[right])}, says the record"
                    yield Finding("figure", f"{name}:{number + 1}", text)
        elif d > c:
            extra = next((line for line in given[c:d] if line.strip()), "a blank line")
            yield Finding("text", f"{name}:{c + 1}", f"not what the record gives: {extra.strip()[:_SHOWN]}")
        elif any(line.strip() for line in wanted[a:b]):
            lacks = next(line for line in wanted[a:b] if line.strip())
            yield Finding("missing", f"{name}:{c + 1}", f"lacks: {lacks.strip()[:_SHOWN]}")


def _differing(given: str, wanted: str) -> str:
    pairs = zip(_DIGITS.findall(given), _DIGITS.findall(wanted), strict=True)
    return ", ".join(f"{one} for {other}" for one, other in pairs if one != other)


def _percentiles(record: Record, name: str, lines: list[str]) -> Iterator[Finding]:
    runs = max(
        (len(one.pooled) for artifact in results.names(record) if (one := results.latency(record, artifact))),
        default=0,
    )
    for number, line in enumerate(lines, 1):
        for digits in re.findall(r"\bp(\d\d)\b\W{0,4}\d[\d.]* ?(?:ms|s|µs)\b", line):
            least = least_samples(int(digits) / 100)
            if 0 < runs < least:
                text = f"p{digits} needs at least {least} runs, {runs} were timed"
                yield Finding("percentile", f"{name}:{number}", text)
