"""Patterns of file names with fields, such as ``images/{id}_training.png``."""

from __future__ import annotations

import re
from collections.abc import Mapping

FIELDS = ("id", "split", "group")
_FIELD = re.compile(r"\{([^{}]*)\}")


def fields(pattern: str) -> set[str]:
    """Names of its fields.

    Raises:
        ValueError: it has a field that is not in ``FIELDS``, or none that is ``{id}``.
    """
    found = set(_FIELD.findall(pattern))
    strange = found - set(FIELDS)
    if strange:
        raise ValueError(f"'{pattern}' has the field '{{{min(strange)}}}'; known: {{id}}, {{split}}, {{group}}")
    if "id" not in found:
        raise ValueError(f"'{pattern}' needs the field '{{id}}', the part of the name that tells cases apart")
    return found


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """The name that the pattern gives with the values of its fields."""
    return _FIELD.sub(lambda match: values[match.group(1)], pattern)


def matcher(pattern: str) -> re.Pattern[str]:
    """A regular expression for whole names.

    A field matches no ``/``; other fields than ``{id}`` are as short as can be; the same field twice stands for the
    same text.
    """
    parts: list[str] = []
    seen: set[str] = set()
    end = 0
    for match in _FIELD.finditer(pattern):
        parts.append(re.escape(pattern[end : match.start()]))
        name, end = match.group(1), match.end()
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+{'' if name == 'id' else '?'})")
        seen.add(name)
    return re.compile("".join(parts) + re.escape(pattern[end:]))


def literal(pattern: str) -> int:
    """How many characters are given: a name that fits several patterns belongs to the one that gives most."""
    return len(_FIELD.sub("", pattern))
