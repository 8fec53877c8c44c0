"""YAML with the line of every key, and pydantic validation that reports all errors with them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from edgekit.errors import InputError

KeyPath = tuple[str | int, ...]
Schema = TypeVar("Schema", bound=BaseModel)
_ABOUT = re.compile(r"(\w+)\[(\d+)\]: ")
_PLAIN = {
    "valid tuple": "list",
    "Tuple should": "list should",
    " after validation": "",
    "valid dictionary or object to extract fields from": "mapping of keys to values",
}
_MAX_VALUES = 100_000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: Where data and weights are looked for when the variable is not set.
DEFAULT_FOLDERS = {"EDGEKIT_DATA": "./data", "EDGEKIT_WEIGHTS": "./weights"}


class Source:
    """One YAML file as plain data, with the line on which each key stands."""

    def __init__(self, path: Path, data: Any, lines: Mapping[KeyPath, int]) -> None:
        self.path = path
        self.data = data
        self.lines = lines

    def where(self, key: KeyPath) -> str:
        """``file:line: key`` for ``key``, or for its nearest parent that the file holds."""
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        name = dotted(key)
        place = f"{self.path}:{self.lines.get(known, 1)}"
        return f"{place}: {name}" if name else place


def dotted(key: KeyPath) -> str:
    """``("passes", 0, "epochs")`` as ``passes[0].epochs``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def expand(text: str) -> str:
    """Replace ``${EDGEKIT_DATA}`` and ``${EDGEKIT_WEIGHTS}`` by the environment or the default.

    Raises:
        InputError: for any other variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        found = os.environ.get(name) or DEFAULT_FOLDERS.get(name)
        if found is None:
            raise InputError(f"the environment variable '{name}' is not set", remedy=f"export {name}=...")
        return found

    return _VARIABLE.sub(value, text)


def contract(value: Any) -> Any:
    """Plain data with the folders of ``${EDGEKIT_DATA}`` and ``${EDGEKIT_WEIGHTS}`` named by their variables again.

    A record travels: it names a file as the recipe does, and no folder of the machine that ran it.
    """
    if isinstance(value, dict):
        return {name: contract(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [contract(one) for one in value]
    if isinstance(value, str):
        for name in DEFAULT_FOLDERS:
            folder = os.environ.get(name, "").rstrip("/")
            if folder:
                value = value.replace(f"{folder}/", f"${{{name}}}/")
    return value


def read(path: Path) -> Source:
    """Read a YAML file.

    Raises:
        InputError: when it cannot be read, is no YAML, holds a duplicate key or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "give the path of a YAML file"
        raise InputError("no such file", where=str(path), remedy=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as UTF-8 text: {error}", where=str(path)) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"not valid YAML: {error.problem}", where=f"{path}:{line}") from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", where=str(path)) from None
    except RecursionError:
        raise InputError("lists or keys are nested too deeply", where=str(path)) from None
    if not isinstance(node, yaml.MappingNode):
        raise InputError("the file must hold keys and values at its top level", where=f"{path}:1")
    lines: dict[KeyPath, int] = {}
    problems: list[str] = []
    data = _plain(node, (), lines, problems, path, set())
    if problems:
        raise InputError("\n".join(problems))
    return Source(path, data, lines)


def _plain(
    node: yaml.Node, key: KeyPath, lines: dict[KeyPath, int], problems: list[str], path: Path, above: set[int]
) -> Any:
    """The data under ``node``; fills ``lines`` and ``problems`` on the way down."""
    lines.setdefault(key, node.start_mark.line + 1)
    if len(lines) > _MAX_VALUES:
        # Aliases of aliases multiply: a short file could fill the memory.
        raise InputError(f"more than {_MAX_VALUES:,} values", where=str(path), remedy="write it without aliases")
    if id(node) in above:
        problems.append(
            f"{path}:{node.start_mark.line + 1}: {dotted(key)}: an alias to its own parent is not allowed"
        )
        return None
    above = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = str(name_node.value) if isinstance(name_node, yaml.ScalarNode) else ""
            line = name_node.start_mark.line + 1
            here = (*key, name)
            if not name or name == "<<":
                place = f"{path}:{line}: {dotted(key) or 'top level'}"
                problems.append(f"{place}: a key must be plain text; merge keys are not allowed")
                continue
            if name in result:
                problems.append(
                    f"{path}:{line}: {dotted(here)}: duplicate key, first in line {lines[here]}; keep one of them"
                )
                continue
            lines[here] = line
            result[name] = _plain(value_node, here, lines, problems, path, above)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*key, index), lines, problems, path, above) for index, item in enumerate(node.value)]
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        # An unknown tag, or a text that YAML takes for a date or number which does not exist.
        kind = node.tag.rpartition(":")[2]
        problems.append(
            f"{path}:{node.start_mark.line + 1}: {dotted(key)}: not a value of the kind '{kind}'; "
            "put it in quotes if it is a text, and leave out tags ('!...')"
        )
        return None
    if isinstance(value, str):
        try:
            return expand(value)
        except InputError as error:
            problems.append(f"{path}:{node.start_mark.line + 1}: {dotted(key)}: {error}")
    return value


def validate(source: Source, schema: type[Schema]) -> Schema:
    """Build ``schema`` from ``source``.

    Raises:
        InputError: one line ``file:line: key: what is wrong, what is allowed`` for every error.
    """
    try:
        return schema.model_validate(source.data)
    except ValidationError as error:
        raise InputError("\n".join(_explain(source, schema, error))) from None


def _explain(source: Source, schema: type[BaseModel], error: ValidationError) -> list[str]:
    rows = []
    found = error.errors(include_url=False)
    for item in found:
        of_items = [other for other in found if other is not item and other["loc"][:-1] == item["loc"]]
        if item["type"] == "too_short" and of_items:
            continue  # pydantic counts the valid items only; the others have errors of their own
        kind = item["type"]
        key = _without_tags(source.data, item["loc"])
        if kind.startswith("union_tag") and key[:-1] in source.lines and key not in source.lines:
            key = key[:-1]  # the tag of a union around the one that failed
        if kind == "extra_forbidden":
            allowed = _allowed_keys(schema, item["loc"][:-1])
            near = difflib.get_close_matches(str(key[-1]), allowed, n=1)
            text = "unknown key" + (f", did you mean '{near[0]}'?" if near else ".")
            text += f" Allowed: {', '.join(allowed)}" if allowed else ""
        elif kind == "missing":
            text = "this key is required"
        elif kind in ("literal_error", "enum", "union_tag_invalid"):
            context = item.get("ctx", {})
            allowed_text = str(context.get("expected") or context.get("expected_tags"))
            value = context.get("tag", item.get("input"))
            options = re.findall(r"'([^']*)'", allowed_text)
            near = difflib.get_close_matches(str(value), options, n=1)
            text = f"'{value}' is not allowed" + (f", did you mean '{near[0]}'?" if near else ".")
            text += f" Allowed: {', '.join(options) or allowed_text}"
            if kind == "union_tag_invalid":
                key = (*key, "kind")
        elif kind == "union_tag_not_found":
            text, key = "this key is required", (*key, "kind")
        else:
            message = item["msg"].removeprefix("Value error, ")
            value = item.get("input")
            shown = "" if isinstance(value, (dict, list)) or kind == "value_error" else f" (got {value!r})"
            about = _ABOUT.match(message) if kind == "value_error" else None
            if about and (*key, about.group(1), int(about.group(2))) in source.lines:
                # A rule between items of a list names the item that breaks it, which has a line of its own.
                key, message = (*key, about.group(1), int(about.group(2))), message[about.end() :]
            for pydantic_says, reader_reads in _PLAIN.items():
                message = message.replace(pydantic_says, reader_reads)
            text = message[0].lower() + message[1:] + shown
        rows.append(f"{source.where(key)}: {text}")
    return rows


def _without_tags(data: Any, location: KeyPath) -> KeyPath:
    """``location`` less the union tags that pydantic puts between the keys of the file."""
    key: list[str | int] = []
    for index, part in enumerate(location):
        if isinstance(data, list):
            # The item, where the part is its index; a tag otherwise.
            if not isinstance(part, int) or part >= len(data):
                continue
            data = data[part]
        elif isinstance(data, dict) and part in data:
            data = data[part]
        elif index < len(location) - 1 or not isinstance(data, dict) or part == data.get("kind"):
            continue  # a union's tag, between two keys or at the end
        key.append(part)
    return tuple(key)


def _allowed_keys(schema: type[BaseModel], location: KeyPath) -> list[str]:
    """The keys that ``schema`` allows at ``location``, found by walking its JSON Schema."""
    whole = schema.model_json_schema()
    node: dict[str, Any] = whole

    def resolve(part: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in part:
            found: dict[str, Any] = whole["$defs"][part["$ref"].rsplit("/", 1)[1]]
            return found
        return part

    def union(part: dict[str, Any]) -> list[dict[str, Any]]:
        """``part`` and all that it may be, unions of unions included."""
        part = resolve(part)
        return [part, *(one for key in ("anyOf", "oneOf") for member in part.get(key, []) for one in union(member))]

    for step in location:
        node = resolve(node)
        if isinstance(step, int):
            node = node.get("items", node)
            continue
        options = union(node)
        mapping = {k: v for one in options for k, v in one.get("discriminator", {}).get("mapping", {}).items()}
        if step in mapping:
            node = {"$ref": mapping[step]}
            continue
        for option in options:
            if step in option.get("properties", {}):
                node = option["properties"][step]
                break
    return list(dict.fromkeys(name for option in union(node) for name in option.get("properties", {})))
