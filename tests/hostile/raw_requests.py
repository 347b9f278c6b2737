"""Requests as bytes on a connection: most are not HTTP as anybody would send it, the rest hold JSON nobody would."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from mutations import TORN, VALUES, spoiled, spoiled_json

LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Makes a server that still reads close the connection, so that a caller sees the end of what it says."""
METHODS = [*["POST"] * 6, *"GET HEAD PUT DELETE OPTIONS TRACE CONNECT PATCH post PRI".split(), "P" * 500]
PATHS = [
    *["{}"] * 4,
    *["{}/", "{}?a=%ff&b", "http://x{}", "//{}", "{}%00", "{}/../../etc/passwd", "{}/%2e%2e/%2e%2e/x", "{}#é"],
    *["*", "", "{}\x07", "{}" + "a" * 9000],
]
VERSIONS = [*["HTTP/1.1"] * 4, "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "", "HTTP/9.9"]
NAMES = [
    *"Content-Length Transfer-Encoding Content-Type Content-Encoding Connection Expect Upgrade Host Accept".split(),
    *"Cookie Range If-None-Match X-Forwarded-For TE Trailer HTTP2-Settings".split(),
    "Content Length",
]
CONTENTS = [
    *["", "0", "-1", "+5", "5, 5", "5, 6", "0x5", "1e3", "99999999999999999999", "٣", "5\x00", " 5", "NaN"],
    *["chunked", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked\t", "gzip", "deflate", "br"],
    *["close", "keep-alive", "upgrade", "close, close", "100-continue", "websocket", "h2c", "bytes=0-1,5-", "\x0b"],
    *["text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=", "é", "[::1]:x", '"'],
    "a" * 4000,
]
SIZES = ["5", "0", "-1", "+5", "0x5", "5;a=b", "5 ", " 5", "F" * 17, "5" * 30, "g", "", "5;" + "x" * 5000, "٥"]
ENDS = [*[b"0\r\n\r\n"] * 5, b"0\r\nX: y\r\n\r\n", b"0\r\n", b"", b"-0\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 3000]
NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n" * 50,
    b"*1\r\n$4\r\nPING\r\n",
]


@dataclass(frozen=True)
class Sent:
    """What goes over one connection."""

    kind: str
    data: bytes
    requests: int = 1
    end: str = "wait"
    """What the caller does then: wait for the server to close, close its own side (half), or leave."""


@dataclass(frozen=True)
class Sound:
    """What requests are made from that a server answers."""

    paths: list[str]
    bodies: list[Any]


def sound_of(document: dict[str, Any]) -> Sound:
    """Read in the OpenAPI document of a server: its pages, and bodies with each parameter that it knows."""
    paths = [*document["paths"], *"/ /docs /docs/assets/swagger-ui.css /docs/assets/ /openapi.json /nothing".split()]
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    bodies = [example["value"] for example in content["examples"].values()]
    schemas = document["components"]["schemas"]
    for name in _properties(_properties(content["schema"], schemas)["parameters"], schemas):
        bodies.append({"inputs": bodies[0]["inputs"], "parameters": {name: 1}})
    return Sound(paths, bodies)


def _properties(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The properties of a schema, which may be another one's name."""
    if "$ref" in schema:
        return _properties(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    parts = [_properties(part, schemas) for part in schema.get("allOf", ())]
    return {name: one for part in [*parts, schema.get("properties", {})] for name, one in part.items()}


def connections(sound: Sound, *, seed: int, requests: int) -> Iterator[Sent]:
    """So many requests on as many connections as they need."""
    left, number = requests, 0
    while left > 0:
        random = Random(f"{seed}-{number}")
        make = random.choices(list(MAKERS), list(MAKERS.values()))[0]
        sent = make(sound, random)
        yield sent
        left, number = left - sent.requests, number + 1


async def throw(port: int, sent: Sent, *, seconds: float = 60) -> bytes:
    """Everything that the server says; TimeoutError when it does not close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = bytearray()
    try:
        writer.write(sent.data)
        if sent.end == "half":
            writer.write_eof()
        while sent.end != "leave" and (piece := await _read(reader, writer, seconds)):
            said += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return bytes(said)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> bytes:
    """What comes next. Where a changed length has swallowed the last request nothing does until the caller leaves."""
    try:
        return await asyncio.wait_for(reader.read(1 << 16), 5)
    except TimeoutError:
        if writer.can_write_eof():
            writer.write_eof()
        return await asyncio.wait_for(reader.read(1 << 16), seconds)


def statuses(said: bytes) -> list[int]:
    """Those of all answers of a connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def head(sound: Sound, random: Random, *lines: str) -> bytes:
    """The head of a POST, without the empty line."""
    path = random.choice([path for path in sound.paths if path.startswith("/predict")])
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, ""]).encode("utf-8", "surrogatepass")


def framed(sound: Sound, random: Random, body: bytes) -> bytes:
    """A request that is HTTP, whatever its body is."""
    return head(sound, random, f"Content-Length: {len(body)}") + b"\r\n" + body


def good(sound: Sound, random: Random) -> bytes:
    """A body that is answered."""
    return json.dumps(random.choice(sound.bodies[:2])).encode()


def json_bodies(sound: Sound, random: Random) -> Sent:
    """Bodies with one place that is wrong, several in a row."""
    many = random.choice([1, 8, 16])
    bodies = [spoiled_json(random.choice(sound.bodies), random) for _ in range(many)]
    return Sent("JSON", b"".join(framed(sound, random, body.encode()) for body in bodies) + LAST, many)


def parameters(sound: Sound, random: Random) -> Sent:
    """Each parameter with every value that it cannot have."""
    names = [name for body in sound.bodies for name in body.get("parameters", ())] or ["x"]
    bodies = []
    for _ in range(8):
        others = {name: True for name in ("do_sample",) if name in names and random.random() < 0.5}
        body = json.dumps({**sound.bodies[0], "parameters": others | {random.choice(names): "@"}})
        bodies.append(body.replace('"@"', random.choice(VALUES)).encode())
    return Sent("parameters", b"".join(framed(sound, random, body) for body in bodies) + LAST, len(bodies))


def odd_text(sound: Sound, random: Random) -> Sent:
    """Bytes that are no UTF-8, or another encoding."""
    text = json.dumps(random.choice(sound.bodies), ensure_ascii=False)
    whole = text.encode(random.choice(["utf-8", "utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "cp037"]))
    at = random.randint(0, len(whole))
    return Sent("odd UTF-8", framed(sound, random, whole[:at] + random.choice(TORN) + whole[at:]) + LAST)


def lines(sound: Sound, random: Random) -> Sent:
    """Request lines of all kinds, on all pages."""
    path, version = random.choice(PATHS).format(random.choice(sound.paths)), random.choice(VERSIONS)
    between = random.choice([*[" "] * 6, "  ", "\t", "\x00", ""])
    end = random.choice([*["\r\n"] * 6, "\n", "\r", "\r\n\r\n", "\n\n"])
    line = f"{random.choice(METHODS)}{between}{path}{between}{version}{end}Host: x{end}{end}"
    return Sent("request lines", line.encode() + LAST)


def headers(sound: Sound, random: Random) -> Sent:
    """Headers that contradict the body, each other, or every grammar."""
    body, extra = good(sound, random), []
    for _ in range(random.randint(1, 4)):
        name, content = random.choice(NAMES), random.choice(CONTENTS)
        line = f"{name}{random.choice([': ', ':', ' : ', ''])}{content}"
        extra.append(random.choice([line] * 6 + [" " + line, line + "\n folded", "", "\x00", line + "\rX: y"]))
    extra += [f"X-{number}: {number}" for number in range(random.choice([0, 0, 0, 500, 5000]))]
    length = [] if random.random() < 0.3 else [f"Content-Length: {len(body)}"]
    return Sent("headers", head(sound, random, *extra, *length) + b"\r\n" + body + LAST)


def chunks(sound: Sound, random: Random) -> Sent:
    """Chunked bodies, sound and broken."""
    body, pieces = good(sound, random), b""
    while body:
        size = random.randint(1, len(body))
        told = f"{size:x}" if random.random() < 0.8 else random.choice(SIZES)
        pieces += told.encode() + random.choice([*[b"\r\n"] * 8, b"\n", b""]) + body[:size] + b"\r\n"
        body = body[size:]
    data = head(sound, random, "Transfer-Encoding: chunked") + b"\r\n" + pieces + random.choice(ENDS)
    return Sent("chunks", data + LAST, end=random.choice(["wait", "wait", "half"]))


def lengths(sound: Sound, random: Random) -> Sent:
    """A length that is not that of the body."""
    body = good(sound, random)
    told = max(0, len(body) + random.choice([-40, -5, -1, 1, 5, 40, 2000, 10**6, 10**9, 10**15]))
    data = head(sound, random, f"Content-Length: {told}") + b"\r\n" + body
    return Sent("lengths", data + random.choice([b"", LAST]), end=random.choice(["half", "leave", "wait"]))


def pipelines(sound: Sound, random: Random) -> Sent:
    """Good requests in a row with a bad one somewhere among them."""
    many = random.choice([2, 10, 30])
    asked = [framed(sound, random, good(sound, random)) for _ in range(many)]
    if random.random() < 0.7:
        asked[random.randrange(many)] = spoiled(random.choice(asked), random)
    return Sent("pipelines", b"".join(asked) + LAST, many, random.choice(["wait", "wait", "wait", "half", "leave"]))


def flips(sound: Sound, random: Random) -> Sent:
    """A good request with bytes changed anywhere."""
    return Sent("bytes", spoiled(framed(sound, random, good(sound, random)), random) + LAST)


def noise(sound: Sound, random: Random) -> Sent:
    """What is no HTTP at all."""
    return Sent("noise", random.choice([*NO_HTTP, random.randbytes(random.randint(0, 300))]) + LAST)


def departures(sound: Sound, random: Random) -> Sent:
    """A good request of which a part comes before the caller is gone."""
    data = framed(sound, random, good(sound, random))
    data = data[: random.randint(0, len(data))] if random.random() < 0.7 else data
    return Sent("departures", data, end=random.choice(["half", "leave"]))


MAKERS: dict[Callable[[Sound, Random], Sent], int] = {
    json_bodies: 8, parameters: 5, odd_text: 8, lines: 12, headers: 12, chunks: 12, lengths: 6, pipelines: 4,
    flips: 14, noise: 4, departures: 8,
}  # fmt: skip
"""What makes connections, and how often."""
