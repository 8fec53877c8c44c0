"""Claims of a written checklist that contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgekit.report.check.finding import Finding
from edgekit.report.check.written import WrittenItem
from edgekit.report.check.written_figures import TIMES, TOTAL, whole

Items = Mapping[str, WrittenItem]
_INT8 = re.compile(r"\b(?:u?int-?8|8[- ]?bit|w8a8|ptq|qat)\b", re.IGNORECASE)
_FLOAT = re.compile(r"\b(?:fp|float|bf)-?(?:16|32)\b|\bfull precision\b", re.IGNORECASE)
_ASKED = re.compile(r"(?:asked|requested|claimed|labelled)\W+(?:for\W+)?int-?8", re.IGNORECASE)
_NONE = re.compile(r"^(?:neither|none|no\b|not\b|n/?a\b|does not apply)", re.IGNORECASE)
_ON_TEST = re.compile(
    r"\b(?:test|testing|held[- ]?out)\b[\s'\"-]*(?:split|set|images|data|partition|fold)?", re.IGNORECASE
)
_APART = re.compile(
    r"\b(?:not|never|no|none|without|apart|separate|disjoint|exclud\w+|other than)\b", re.IGNORECASE
)
_CHANGED = re.compile(r"(\d+) of (\d+) images \((\d+) right to wrong, (\d+) wrong to right\)")
_SHARES = re.compile(r"(\d[\d,]*) \((\d+(?:\.\d+)?) ?%\)")


def claims(items: Items, text: str, name: str) -> Iterator[Finding]:
    """INT8 that did not run, joules without idle power, calibration on test images, counts that do not add up."""
    yield from _precision(items, text, name)
    yield from _energy(items, name)
    yield from _calibration(items, name)
    yield from _shares(items, name)
    yield from _counts(items, name)


def _precision(items: Items, text: str, name: str) -> Iterator[Finding]:
    """INT8 that is claimed must be among what ran."""
    executed, method = items.get("Precision executed"), items.get("PTQ or QAT")
    if executed is None or not executed.said:
        return
    for one in executed.said:
        ran = one.text.split(";")[0].split("(")[0].strip()
        if not _FLOAT.search(ran) or _INT8.search(ran):
            continue
        asked = bool(_ASKED.search(one.text))
        for artifact in re.split(r",\s*", one.of):
            if (asked or _INT8.search(artifact)) and not _refused(text, artifact):
                problem = f"{artifact or 'INT8'} claims INT8, and {ran} was executed"
                yield Finding("precision", f"{name}:{one.line}", problem)
    if method is None or not _INT8.search(method.text) or _NONE.match(method.text):
        return
    if _FLOAT.search(executed.text) and not _INT8.search(executed.text):
        problem = f"quantized ({method.text[:40]}), and only {executed.text[:60]} was executed"
        yield Finding("precision", f"{name}:{executed.line}", problem)


def _refused(text: str, artifact: str) -> bool:
    """Whether the summary says that the artifact was rejected."""
    rows = (line for line in text.splitlines() if line.startswith("|") and artifact and artifact in line)
    return any(re.search(r"\b(?:rejected|failed|not exported)\b", line) for line in rows)


def _energy(items: Items, name: str) -> Iterator[Finding]:
    joules, idle = items.get("Energy per inference"), items.get("Idle power subtracted")
    if joules is None or not re.search(r"\d\s*[µumk]?(?:J|Wh)\b", joules.text):
        return
    if idle is None or not re.search(r"\d\s*[mk]?W\b", idle.text):
        where = f"{name}:{(idle or joules).line}"
        yield Finding("energy", where, "joules without the idle power that was subtracted")
    method = items.get("Measurement method")
    if method is None or not method.said or re.match(r"not (?:measured|reported|recorded)", method.text):
        yield Finding("energy", f"{name}:{joules.line}", "joules without the meter that they come from")


def _calibration(items: Items, name: str) -> Iterator[Finding]:
    found = items.get("Calibration set")
    for one in found.said if found else ():
        if _ON_TEST.search(one.text) and not _APART.search(one.text):
            yield Finding(
                "split",
                f"{name}:{one.line}",
                f"calibrated on test images; only training images may: {one.text[:60]}",
            )


def _shares(items: Items, name: str) -> Iterator[Finding]:
    """Errors of calibration, and sensitivities, are shares."""
    for title, most in (("ECE after optimization", 1.0), ("Sensitivity of the rarest classes", 1.0)):
        for one in items[title].said if title in items else ():
            value = re.match(r"(-?\d[\d.]*)\s*(%?)(?![\w.])", one.text)
            number = float(value[1].rstrip(".")) if value and value[1].count(".") <= 1 else None
            if number is not None and value is not None and not 0 <= number <= (100.0 if value[2] else most):
                yield Finding(
                    "figure", f"{name}:{one.line}", f"'{title}' is {value[0].strip()}, which no share can be"
                )


def _counts(items: Items, name: str) -> Iterator[Finding]:
    timed, imbalance, failure = (items.get(one) for one in ("Timed runs", "Class imbalance", "Failure modes"))
    for one in timed.said if timed else ():
        total, product = TOTAL.search(one.text), TIMES.search(one.text)
        if total and product and whole(total[1] or total[2]) != whole(product[1]) * whole(product[2]):
            yield Finding("count", f"{name}:{one.line}", f"the runs do not add up: {one.text[:60]}")
    for one in imbalance.said if imbalance else ():
        pairs = [(whole(count), float(share)) for count, share in _SHARES.findall(one.text)]
        total_count = sum(count for count, _ in pairs)
        if (
            len(pairs) > 1
            and total_count
            and any(abs(100 * count / total_count - share) > 0.6 for count, share in pairs)
        ):
            yield Finding("count", f"{name}:{one.line}", f"the shares are not those of the counts: {one.text[:60]}")
    for one in failure.said if failure else ():
        for changed, among, lost, won in _CHANGED.findall(one.text):
            if not int(lost) + int(won) <= int(changed) <= int(among):
                yield Finding(
                    "count", f"{name}:{one.line}", f"the changed predictions do not add up: {one.text[:60]}"
                )
