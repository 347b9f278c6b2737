"""The registry's small JSON documents: written in one canonical form, read strictly, sealed by a checksum.

A record is the only thing that no digest elsewhere vouches for, so it carries one of its own: a bit that flipped
on the way must not turn version 17 into version 16.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tunewright.registry.errors import CorruptObject

_SEAL = "sha256"


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces: equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def as_text(value: object) -> str:
    """A value as people read it in a cell: a text as it is, else JSON, and `-` for nothing."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parse(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `data`; `name` says where it came from.

    Raises CorruptObject, also for duplicate keys and for what could not be written again: half of a surrogate
    pair, a number without end.
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
        canonical(value)
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"{name} is not a valid JSON document: {error}") from None
    if not isinstance(value, dict):
        raise CorruptObject(f"{name} is not a JSON object but a {type(value).__name__}")
    return value


def seal(fields: Mapping[str, object]) -> bytes:
    """A document that carries the sha256 of everything else in it."""
    return canonical({**fields, _SEAL: sha256_of(fields)})


def sha256_of(fields: Mapping[str, object]) -> str:
    """What seals these fields, in hexadecimal digits."""
    return hashlib.sha256(canonical(fields)).hexdigest()


def unseal(data: bytes, name: str) -> dict[str, Any]:
    """The fields of a sealed document. Raises CorruptObject when a single bit differs."""
    fields = parse(data, name)
    stated = fields.pop(_SEAL, None)
    if stated != sha256_of(fields):
        raise CorruptObject(f"{name} was changed or damaged: its content does not match its own checksum")
    return fields


def wrong(error: ValidationError) -> str:
    """The first field that is not of its type or not in its range, with its value."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "it"
    if first["type"] in ("missing", "unexpected_keyword_argument"):
        return f"{place}: {first['msg'].lower()}"
    return f"{place} is {repr(first['input'])[:100]}: {first['msg'].lower()}"


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = min(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice[:100]!r} stands twice")
    return fields


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")
