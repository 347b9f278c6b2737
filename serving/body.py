"""The body of a request, read no further than the limit and no longer than patience lasts."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from serving.errors import Incomplete, TooLarge
from serving.settings import Limits


async def read_body(request: Request, limits: Limits) -> bytes:
    """The whole body; TooLarge before a byte of it is read when its announced size says so, Incomplete."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limits.body_bytes:
        raise _too_large(announced, limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read(request, limits)
    except TimeoutError as error:
        raise Incomplete(
            f"the body did not arrive within {limits.body_seconds:g} s (SERVING_LIMITS__BODY_SECONDS)"
        ) from error
    except ClientDisconnect as error:
        raise Incomplete("the connection was closed before the end of the body") from error


async def _read(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.body_bytes:
            raise _too_large(f"more than {limits.body_bytes}", limits)
    return bytes(body)


def _too_large(size: str, limits: Limits) -> TooLarge:
    return TooLarge(
        f"the body has {size} bytes; this server reads at most {limits.body_bytes} (SERVING_LIMITS__BODY_BYTES)"
    )
