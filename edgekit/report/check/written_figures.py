"""Figures of a written checklist that its own numbers do not allow: percentiles, intervals, speed-ups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgekit.evaluate.statistics import least_samples
from edgekit.report.check.finding import Finding
from edgekit.report.check.written import Category, Said, WrittenItem, parse

Items = Mapping[str, WrittenItem]
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_TIME = re.compile(r"(\d[\d.]*(?:e[-+]?\d+)?)\s*(ns|us|µs|ms|s)\b")
_PERCENTILE = re.compile(r"\bp(\d\d(?:\.\d+)?)\b")
#: In one line: ``p99: 2.31 ms``, ``p99 of 2.31 ms``.
_INLINE = re.compile(r"\bp(\d\d(?:\.\d+)?)\b\W{0,4}(?:(?:is|of|was|at)\s)?\s*\d[\d.]*\s*(?:ns|us|µs|ms|s)\b")
_OWN_RUNS = re.compile(
    r"\bn\s*=\s*(\d[\d,]*)|(?:from|over|of)\s+(\d[\d,]*)\s+(?:timed\s+)?(?:runs|samples|inferences)"
)
TOTAL = re.compile(
    r"(\d[\d,]*)\s+(?:runs\s+|samples\s+)?(?:in all|in total|altogether|overall)|total(?: of)?:?\s+(\d[\d,]*)"
)
TIMES = re.compile(
    r"(\d[\d,]*)\s*(?:timed |)(?:runs?\s*|)(?:x|\u00d7|\*|in each of|per process(?:,| in)?|each in)\s*(\d[\d,]*)"
)
_INTERVAL = re.compile(r"(\d[\d.]*)\s*[^\d\s(]{0,3}\s*\((\d[\d.]*) to (\d[\d.]*)\)")
#: Figures that their interval holds; the bootstrap of a calibration error need not.
_HELD = re.compile(r"^p\d\d|accuracy|sensitivity|specificity|recall|peak|dice", re.IGNORECASE)
_BASE = re.compile(r"1(?:\.0*)?\s*(?:x|\u00d7|\(|$)")
_FASTER = re.compile(r"(\d[\d.]*)\s*[x\u00d7]")
#: A speed-up belongs to one occasion and to the rounds of the source; the p50 beside it may be of others as well.
_APART = re.compile("several occasions|rounds that both have")
#: Three significant digits on either side of a division.
_RATIO = 0.02


def figures(items: Items, text: str, name: str) -> Iterator[Finding]:
    """Percentiles of too few runs or in the wrong order, intervals and speed-ups that do not fit."""
    written = parse(text)
    yield from _percentiles(items, written, text, name)
    yield from _order(items, name)
    for category in written:
        yield from _intervals(category, name)
        if not _APART.search(text):
            yield from _speedups(category, name)


def whole(text: str) -> int:
    """``1,200`` as 1200."""
    return int(text.replace(",", ""))


def stated_runs(text: str) -> int | None:
    """How many timed runs ``text`` tells of, over all processes; none where it names no number."""
    if total := TOTAL.search(text):
        return whole(total[1] or total[2])
    if product := TIMES.search(text):
        return whole(product[1]) * whole(product[2])
    numbers = [whole(one) for one in re.findall(r"\d[\d,]*", text)]
    return max(numbers, default=None)


def _runs_of(items: Items, said: str, of: str) -> int | None:
    """The runs behind a figure: its own count, that of its artifact, or the most of any."""
    if own := _OWN_RUNS.search(said):
        return whole(own[1] or own[2])
    timed = items.get("Timed runs")
    if timed is None:
        return None
    mine = [one.text for one in timed.said if of and of in re.split(r",\s*", one.of)]
    found = [count for one in mine or [one.text for one in timed.said] if (count := stated_runs(one)) is not None]
    return max(found, default=None)


def _percentiles(items: Items, written: list[Category], text: str, name: str) -> Iterator[Finding]:
    told = {
        (one.line, percent[1], one.text, one.of)
        for category in written
        for item in category.items
        for one in item.said
        if (percent := _PERCENTILE.search(item.name)) and _TIME.search(one.text) and "not printed" not in one.text
    }
    for number, line in enumerate(text.splitlines(), 1):
        told |= {(number, percent, line, "") for percent in _INLINE.findall(line)}
    seen = set()
    for number, digits, said, of in sorted(told):
        runs, least = _runs_of(items, said, of), least_samples(float(digits) / 100)
        if runs is not None and runs < least and (number, digits) not in seen:
            seen.add((number, digits))
            problem = f"p{digits} needs at least {least} runs, {runs} were timed"
            yield Finding("percentile", f"{name}:{number}", problem)


def _seconds(said: Said) -> float | None:
    found = _TIME.search(said.text)
    try:
        return float(found[1]) * _SECONDS[found[2]] if found else None
    except ValueError:
        return None


def _order(items: Items, name: str) -> Iterator[Finding]:
    """No percentile lies below a lower one."""
    for low, high in (("p50", "p90"),):
        if low not in items or high not in items:
            continue
        before = {one.of: _seconds(one) for one in items[low].said}
        for one in items[high].said:
            least, most = before.get(one.of), _seconds(one)
            if least is not None and most is not None and most < least:
                of = f" of {one.of}" if one.of else ""
                yield Finding("figure", f"{name}:{one.line}", f"{high}{of} is below its {low}")


def _intervals(category: Category, name: str) -> Iterator[Finding]:
    for item in category.items:
        for one in item.said:
            for value, low, high in _INTERVAL.findall(one.text):
                try:
                    numbers = [float(number.rstrip(".")) for number in (low, value, high)]
                except ValueError:
                    continue
                turned = numbers[0] > numbers[2]
                if turned or (_HELD.search(item.name) and numbers != sorted(numbers)):
                    text = f"{value} is not within its interval, {low} to {high}"
                    yield Finding("interval", f"{name}:{one.line}", text)


def _speedups(category: Category, name: str) -> Iterator[Finding]:
    """Speed-ups follow from the p50 in the same table, over the row whose speed-up is 1."""
    p50 = next((one for one in category.items if one.name == "p50"), None)
    ratios = next((one for one in category.items if re.match(r"speed-?up", one.name, re.IGNORECASE)), None)
    if p50 is None or ratios is None:
        return
    seconds = {one.line: _seconds(one) for one in p50.said}
    base = next((seconds.get(one.line) for one in ratios.said if _BASE.match(one.text)), None)
    for one in ratios.said:
        ratio, mine = _FASTER.match(one.text), seconds.get(one.line)
        if base and mine and ratio and abs(base / mine / float(ratio[1]) - 1) > _RATIO:
            text = f"{one.of} is said to be {ratio[1]} times faster; its p50 gives {base / mine:.3g}"
            yield Finding("speedup", f"{name}:{one.line}", text)
