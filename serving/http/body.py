"""The body of a request, read no further than the limit and no longer than patience lasts."""

import asyncio
import time

from starlette.requests import ClientDisconnect, Request

from tunewright.serving.errors import Incomplete, Malformed, TooLarge, shown
from tunewright.serving.http.connection import arrival_of
from tunewright.serving.queue.bodies import Share


async def read_body(request: Request, share: Share, *, most: int, seconds: float) -> bytes:
    """The whole body; TooLarge before a byte of it is read when its announced size says so, Incomplete.

    `most`: bytes it may have. `seconds`: how long the request may take to arrive, from the first byte of its head.
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Malformed(f"the body is compressed (Content-Encoding: {shown(coding)}); send it as it is, or in gzip")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(announced, most)
    try:
        begun = arrival_of(request.scope).begun
        if begun is None:
            return await _read(request, share, most)
        async with asyncio.timeout(begun + seconds - time.monotonic()):
            return await _read(request, share, most)
    except TimeoutError as error:
        raise Incomplete(f"the request did not arrive within {seconds:g} s (SERVING_LIMITS__BODY_SECONDS)") from error
    except ClientDisconnect as error:
        raise Incomplete("the connection was closed before the end of the body") from error


async def _read(request: Request, share: Share, most: int) -> bytes:
    pieces, size = [], 0
    comes_more = True
    while comes_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        comes_more = message.get("more_body", False)
        size += len(pieces[-1])
        if size > most:
            raise _too_large(f"more than {most}", most)
        share.grow(size)
    return b"".join(pieces)


def _too_large(size: str, most: int) -> TooLarge:
    return TooLarge(f"the body has {size} bytes; this server reads at most {most} (SERVING_LIMITS__BODY_BYTES)")
