"""The body of a request, read no further than the limit and no longer than patience lasts."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from serving.errors import Incomplete, Malformed, TooLarge
from serving.request import shown


async def read_body(request: Request, *, most: int, seconds: float) -> bytes:
    """The whole body; TooLarge before a byte of it is read when its announced size says so, Incomplete.

    `most`: bytes it may have. `seconds`: how long it may take to arrive.
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Malformed(f"the body is compressed (Content-Encoding: {shown(coding)}); send it as it is")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(announced, most)
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, most)
    except TimeoutError as error:
        raise Incomplete(f"the body did not arrive within {seconds:g} s (SERVING_LIMITS__BODY_SECONDS)") from error
    except ClientDisconnect as error:
        raise Incomplete("the connection was closed before the end of the body") from error


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(f"more than {most}", most)
    return bytes(body)


def _too_large(size: str, most: int) -> TooLarge:
    return TooLarge(f"the body has {size} bytes; this server reads at most {most} (SERVING_LIMITS__BODY_BYTES)")
