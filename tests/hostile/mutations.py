"""Seeded changes of sound input: bytes flipped, cut, doubled; JSON of other types, without end, with half characters.

What is made is a function of the `Random` that is given, so that a number names a case for ever.
"""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

HALVES = [r'"\ud800"', r'"\udfff\ud800"', r'"a\ud83d"', r'{"\ud800":1}', r'["\udc00"]']
NUMBERS = [
    *["0", "-1", "1.5", "-0.0", "1e400", "-1e400", "1e-400", "18446744073709551616", "9223372036854775808"],
    *["9" * 4000, "-" + "9" * 5000, "0." + "3" * 5000, "1e" + "9" * 300, "1" + "0" * 30],
    *["NaN", "Infinity", "-Infinity", "01", "1.", "+1", "0x1"],
]  # fmt: skip
TEXTS = [
    *['""', '" "', '"x"', r'"\u0000"', r'"\u202e\u200b\ufeff"', '"' + "a" * 5000 + '"', '"' + "é́" * 500 + '"'],
    *['"../../etc/passwd"', '"{{ 7 * 7 }}"', '"%s%n"', '"\t"', '"\n"', r'"\x"', r'"\u12"', '"', "'x'"],
]
KINDS = ["null", "true", "false", "[]", "{}", "[[]]", "[null]", '[""]', '{"":""}', '[{"text":null}]', '[1,"a",null,{}]']
LARGE = [
    *["[" * 500 + "]" * 500, "[" * 100_000, '{"a":' * 500 + "1" + "}" * 500, "[" * 3000 + '"x"' + "]" * 3000],
    *["[" + ",".join(["1"] * 2000) + "]", "[" + ",".join(['"a"'] * 300) + "]", '"' + "a" * 110_000 + '"'],
    *["{" + ",".join(f'"{n}":{n}' for n in range(2000)) + "}", '{"a":1,"a":2}', '"' + "(" * 20_000 + '"'],
]
VALUES = [*HALVES, *NUMBERS, *TEXTS, *KINDS * 3, *LARGE]
"""Texts that stand where a JSON value is expected; not all of them are one."""
_HERE = "\ue000here\ue000"
TORN = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\xe2\x82",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\r",
    b"\x1b[2J",
]


def spoiled(data: bytes, random: Random) -> bytes:
    """The bytes after one to three changes."""
    for _ in range(random.randint(1, 3)):
        data = random.choice([_flipped, _cut, _doubled, _torn, _swapped, _without])(data, random)
    return data


def spoiled_json(content: Any, random: Random) -> str:
    """The JSON of the content with one place changed: another value, none, twice, wrapped."""
    content = copy.deepcopy(content)
    places = list(_places(content))
    if not places or random.random() < 0.05:
        return random.choice(VALUES)
    holder, key = random.choice(places)
    value = random.choice(VALUES)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[random.choice(["more", "", "__class__", "\ud800", "inputs", "a" * 5000])] = _HERE
        case 2 if isinstance(holder, dict):
            twice = json.dumps(key)
            value = f"{json.dumps(holder[key])},{twice}:{value}"
            holder[key] = _HERE
        case 3:
            holder[key] = [holder[key]] * random.choice([1, 2, 300])
        case 4:
            holder[key] = {random.choice(["text", "inputs", "id"]): holder[key]}
        case _:
            holder[key] = _HERE
    return json.dumps(content).replace(json.dumps(_HERE), value)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Each place of the content, as what holds it and the key or index there."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _places(content[key])


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _doubled(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:end] + data[start:end] * random.choice([1, 1, 2, 50]) + data[end:]


def _torn(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(TORN) * random.choice([1, 1, 3]) + data[at:]


def _swapped(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    other, last = _span(data, random)
    return data[:start] + data[other:last] + data[end:]


def _without(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:start] + data[end:]


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice([1, 2, 8, 64, 1000]))
