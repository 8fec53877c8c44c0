"""The reference of recipe and target files as Markdown, made from their JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Kind = Literal["recipe", "target"]
Schema = Mapping[str, Any]
#: Keyword of JSON Schema -> how a limit is written.
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "must match `{}`",
}
_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of a recipe (or study) or of a target file."""
    if kind == "target":
        from edgekit.target import Target

        return Target.model_json_schema()
    from pydantic import TypeAdapter

    from edgekit.recipe import Recipe, Study

    return TypeAdapter(Recipe | Study).json_schema()


def markdown(kind: Kind) -> str:
    """A section for each block of the file: its keys, their types, defaults, limits and meaning."""
    schema = json_schema(kind)
    blocks = {**schema.get("$defs", {})}
    roots = [name for name in ("Recipe", "Study") if name in blocks]
    if "properties" in schema:
        blocks = {str(schema["title"]): schema, **blocks}
        roots = [str(schema["title"])]
    order = [*roots, *sorted(name for name in blocks if name not in roots)]
    parts = [line for name in order for line in _block(name, blocks)]
    return "\n".join(parts).rstrip() + "\n"


def _block(name: str, blocks: Mapping[str, Schema]) -> Iterator[str]:
    block = blocks[name]
    yield from (f"## {name}", "")
    said = str(block.get("description", "")).replace("``", "`").strip()
    if said:
        yield from (_text(said), "")
    if "enum" in block:
        yield from (f"One of {_choices(block['enum'])}.", "")
    keys = block.get("properties", {})
    if not keys:
        return
    yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    required = set(block.get("required", ()))
    for key, value in keys.items():
        meaning = "; ".join(filter(None, (_meaning(value, blocks), *_limits(value))))
        yield f"| `{key}` | {_cell(_type(value))} | {_default(key, value, required)} | {_cell(meaning)} |"
    yield ""


def _meaning(value: Schema, blocks: Mapping[str, Schema]) -> str:
    """What is said of a key, or the first sentence on the one block that it takes."""
    if "description" in value:
        return _text(str(value["description"]))
    named = [str(part["$ref"]).rpartition("/")[2] for part in (value, *value.get("anyOf", ())) if "$ref" in part]
    said = str(blocks[named[0]].get("description", "")) if len(named) == 1 else ""
    return _text(said.partition(". ")[0].removesuffix(".")).replace("``", "`")


def _type(value: Schema) -> str:
    """What a key takes, with a link to the section of a block."""
    if "$ref" in value:
        name = str(value["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in value:
            return " or ".join(dict.fromkeys(_type(one) for one in value[several]))
    if len(value.get("allOf", ())) == 1:
        return _type(value["allOf"][0])
    if "const" in value:
        return _choices([value["const"]])
    if "enum" in value:
        return _choices(value["enum"])
    if value.get("type") == "array":
        if "prefixItems" in value:
            return "[" + ", ".join(_type(one) for one in value["prefixItems"]) + "]"
        return f"list of {_type(value.get('items', {}))}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, Mapping) and inner else "mapping"
    return _TYPES.get(str(value.get("type")), "none" if value.get("type") == "null" else "anything")


def _choices(values: list[Any]) -> str:
    return ", ".join(f"`{json.dumps(one).strip(chr(34))}`" for one in values)


def _limits(value: Schema) -> Iterator[str]:
    for part in (value, *value.get("anyOf", ())):
        yield from (text.format(part[key]) for key, text in _LIMITS.items() if key in part)


def _default(key: str, value: Schema, required: set[str]) -> str:
    if key in required:
        return "required"
    default = value.get("default")
    if isinstance(default, Mapping) and "$ref" in json.dumps(value):
        return "the block's defaults" if default else "none"
    return "none" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
