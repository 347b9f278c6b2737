"""JSON as callers send it and as they get it."""

import json
import re
from typing import NoReturn

import pydantic_core

from tunewright.serving.errors import Malformed
from tunewright.serving.text.cleaning import legible

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON spells half a character; a pair of halves too."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def read_json(body: bytes) -> object:
    """What a body says; Malformed where it is not JSON."""
    try:
        # A seventh of the time of Python's own, which would hold up all other requests.
        content: object = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError:
        # Python's says better what is wrong, and reads halves of characters, a byte order mark and any depth.
        return _read_slowly(body)
    return content


def _read_slowly(body: bytes) -> object:
    try:
        content: object = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        return _whole(content) if _HALF.search(body) else content
    except RecursionError as error:
        raise Malformed("the body is not JSON that this server reads: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: byte {error.start} cannot be read") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from error


def to_json(content: object) -> bytes:
    """Compact UTF-8 JSON; a number that JSON does not have is a ValueError, never written."""
    return _ENCODER.encode(content).encode()


def kind_of(content: object) -> str:
    """What a value is, as JSON calls it."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(content), "a number")


def _whole(content: object) -> object:
    """The content with U+FFFD for each half of a character, in names too: no answer, log or tokenizer can hold one."""
    if isinstance(content, str):
        return legible(content)
    if isinstance(content, list):
        return [_whole(item) for item in content]
    if isinstance(content, dict):
        return {legible(name): _whole(value) for name, value in content.items()}
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
