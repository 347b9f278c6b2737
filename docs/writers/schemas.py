"""JSON schemas, said to a reader: a table of fields, and the outline of a value."""

import json
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def table(schema: Schema, *, of: str = "field", root: str = "") -> str:
    """One row a property: name, kind, default and meaning. `root` is put before each name."""
    required = schema.get("required", [])
    rows = [f"| {of} | kind | default | meaning |\n|---|---|---|---|\n"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"`{json.dumps(field.get('default'))}`"
        meaning = " ".join(str(field.get("description", "")).split())
        rows.append(f"| `{root}{name}` | {kind(field)} | {default} | {_cell(meaning)} |\n")
    return "".join(rows)


def kind(schema: Schema) -> str:
    """What a value may be, in words."""
    choices = schema.get("anyOf") or schema.get("oneOf")
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if choices:
        return " or ".join(dict.fromkeys(kind(choice) for choice in choices))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        (item, *_) = schema.get("prefixItems") or [schema.get("items", {})]
        return f"list of {kind(item)}"
    inner = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    for value in inner:
        if isinstance(value, Mapping):
            return f"mapping to {kind(value)}"
    return f"{schema.get('type', 'anything')}{_bounds(schema)}" + (", or null" if schema.get("nullable") else "")


def outline(schema: Schema) -> str:
    """A value of this schema with the kinds of its parts in their places."""
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(outline(choice) for choice in choices))
    if schema.get("type") == "array":
        return f"[{outline(schema.get('items', {}))}, ...]"
    if "properties" in schema:
        return "{" + ", ".join(f'"{name}": {outline(part)}' for name, part in schema["properties"].items()) + "}"
    return str(schema.get("type", "anything"))


_BOUNDS = (("minimum", "exclusiveMinimum", "from", "above"), ("maximum", "exclusiveMaximum", "to", "below"))


def _bounds(schema: Schema) -> str:
    """In both dialects: an open bound is a number of its own, or a flag beside the closed one."""
    said = ""
    for closed, opened, closed_word, open_word in _BOUNDS:
        if opened in schema:
            value = schema[closed] if schema[opened] is True else schema[opened]
            said += f" {open_word} {value}"
        elif closed in schema:
            said += f" {closed_word} {schema[closed]}"
    return said


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
