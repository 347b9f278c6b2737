"""JSON schemas in the dialect of OpenAPI 3.0, which the bundled Swagger page can read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tunewright.serving.errors import InputError, shown
from tunewright.serving.meanings import described

Schema = dict[str, Any]
"""A JSON schema as OpenAPI 3.0 wants it."""

NAME = "x-name"
"""What says which name a schema is to have; it is not in the document itself."""
TEXT: Schema = {"type": "string"}
FILLED: Schema = {**TEXT, "minLength": 1}
FILE: Schema = {**FILLED, "description": "The bytes of a file in base64, or a data: URI."}


class _OpenApi30(GenerateJsonSchema):
    """3.0 has no type "null" (a value that may be absent is `nullable`), no `const`, and no number as an open bound."""

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        made = super().literal_schema(schema)
        return {"type": made["type"], "enum": [made["const"]]} if "const" in made else made

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _open_bounds(super().int_schema(schema))

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _open_bounds(super().float_schema(schema))

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        if "enum" in inner:
            inner = {**inner, "enum": [*inner["enum"], None]}
        return {**inner, "nullable": True}


def _open_bounds(schema: JsonSchemaValue) -> JsonSchemaValue:
    bounds = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
    opened = {bounds[name]: value for name, value in schema.items() if name in bounds}
    return {**schema, **dict.fromkeys(set(schema) & set(bounds), True), **opened}


def schema_of(kind: type[BaseModel]) -> Schema:
    """The schema of a pydantic model."""
    return described(kind).model_json_schema(schema_generator=_OpenApi30)


def ref(name: str) -> Schema:
    """A schema that has a name in the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def named(name: str, schema: Schema) -> Schema:
    """The same, which has this name in the document wherever it stands."""
    return {**schema, NAME: name}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    more = {"enum": [*schema["enum"], None]} if "enum" in schema and None not in schema["enum"] else {}
    return {**schema, **more, "nullable": True}


def closed(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others."""
    required = [name for name in properties if name not in optional]
    shape: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": required} if required else shape


def needing(properties: Schema, *needed: str) -> Schema:
    """An object with these properties and no others, of which only the named ones must be there."""
    return closed(properties, optional=tuple(name for name in properties if name not in needed))


def list_of(item: Schema, **bounds: int) -> Schema:
    """An array of such items; `minItems`, `maxItems`."""
    return {"type": "array", "items": item, **bounds}


def text_item(*, pair: bool) -> Schema:
    """One text, or one pair of texts, as `serving.request.texts.read_texts` reads it."""
    if pair:
        return {"oneOf": [closed({"text": TEXT, "text_pair": TEXT}), list_of(TEXT, minItems=2, maxItems=2)]}
    return {"oneOf": [TEXT, closed({"text": TEXT})]}


def text_example(*, pair: bool) -> object:
    """A harmless input: never a row of somebody's data."""
    if pair:
        return {"text": "A man is playing a guitar.", "text_pair": "Somebody makes music."}
    return "This product is amazing!"


def file_item(name: str) -> Schema:
    """A file in base64, as `serving.request.files.read_files` reads it."""
    return {"oneOf": [FILE, closed({name: FILE})]}


def parts_of(item: Schema) -> list[str]:
    """What an input is made of, by name: the properties of the first object that it may be."""
    shapes = [item, *item.get("oneOf", ()), *item.get("anyOf", ())]
    return next((list(shape["properties"]) for shape in shapes if shape.get("properties")), ["inputs"])


def inputs_of(wanted: Sequence[str], columns: Mapping[str, Sequence[object]]) -> list[object]:
    """Inputs of columns, of which each holds one part. A column that is the only part may have any name."""
    if len(wanted) == len(columns) == 1:
        return [item for items in columns.values() for item in items]
    if set(columns) != set(wanted):
        raise InputError(f"'inputs' are {_listed(columns)}; this model reads: {_listed(wanted)}")
    if len({len(items) for items in columns.values()}) > 1:
        raise InputError(f"{_listed(wanted)} are of different lengths; send as many of each")
    return [dict(zip(wanted, row, strict=True)) for row in zip(*(columns[name] for name in wanted), strict=True)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(shown, names))
