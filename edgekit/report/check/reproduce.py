"""What a reader of a checklist could not make again, because it does not say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgekit.report.check.finding import Finding
from edgekit.report.check.written import WrittenItem

_HASH = r"\b[0-9a-f]{64}\b|\bsha-?256\b"
_PLACE = r"https?://|\bdoi\b"
#: Item whose text must hold the pattern -> what is missing otherwise.
_IN_ITEM: tuple[tuple[str, str, str], ...] = (
    ("Preprocessing pipeline", r"\d|normali[sz]|none|no ", "how intensities are scaled (mean, standard deviation)"),
    (
        "Calibration set",
        r"seed|all |every|whole|first|list|does not apply|not |no pass|none",
        "which images calibrated INT8 (a seed, or all)",
    ),
    ("Backend configuration", r"thread|core|default|device|on \w+", "the threads and options of the runtime"),
    ("Operating system", r"\d", "the version of the operating system"),
)
#: Pattern that the whole text must hold -> what is missing otherwise.
_ANYWHERE: tuple[tuple[str, str], ...] = (
    (r"\b[0-9a-f]{40}\b|\bcommit\b|\bgit|\brepositor|\bsource code\b", "the code: no commit or repository"),
    (rf"{_HASH}|{_PLACE}|\bpublic(?:ly)? available\b", "the data: no link, DOI or hash of the images"),
    (rf"{_HASH}|https?://|\breleased\b", "the exported files: no link or hash"),
    (r"\bedgekit \w+|\bpython3? \S+|\bcommand\b|\$ \S+|\bscript\b", "the run: no command"),
)


def reproduce(items: Mapping[str, WrittenItem], text: str, name: str) -> Iterator[Finding]:
    """One note for each thing that is missing."""
    for title, pattern, what in _IN_ITEM:
        item = items.get(title)
        if item is not None and item.said and not re.search(pattern, item.text, re.IGNORECASE):
            yield Finding("reproduce", f"{name}:{item.line}", f"a reader could not reproduce {what}", "note")
    for pattern, what in _ANYWHERE:
        if not re.search(pattern, text, re.IGNORECASE):
            yield Finding("reproduce", name, f"a reader could not reproduce {what}", "note")
