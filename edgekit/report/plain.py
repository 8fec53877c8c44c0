"""Plain data of a record, read with care: any key may be missing, any value may be of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_recorded

#: How the description of the machine begins a field that it could not read.
_UNREADABLE = "not readable"


def dig(mapping: Any, *keys: str) -> Any:
    """``mapping[key0][key1]...``, or none where a key is missing or holds nothing."""
    for key in keys:
        if not isinstance(mapping, Mapping):
            return None
        mapping = mapping.get(key)
    return None if mapping in ("", [], {}, ()) else mapping


def words(value: Any) -> str:
    """Plain data on one line: mappings as ``key value``, lists with commas. Never blank."""
    if isinstance(value, Mapping):
        return "; ".join(f"{oneline(str(key))} {words(one)}" for key, one in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(words(one) for one in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else oneline(str(value)) or "none"


def stated(value: Any, otherwise: str) -> Shown:
    """Plain data as text; ``not recorded: otherwise``; or what the machine said of why it could not be read."""
    if isinstance(value, str) and value.startswith(f"{_UNREADABLE}:"):
        why = oneline(value.removeprefix(f"{_UNREADABLE}:"))
        return Shown(why=why or "no reason given", kind=_UNREADABLE)
    return not_recorded(otherwise) if value in (None, "", [], {}, ()) else Shown(words(value))
