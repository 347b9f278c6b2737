"""Compressed bodies: unpacked within the limit on the way in, packed on the way out for callers who ask for it."""

import asyncio
import re
import zlib

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.serving.errors import Malformed

_PIECE = 64 << 10
"""Bytes that are unpacked at once: who reads counts them, and stops at the limit of a body."""
_SMALLEST = 1024
"""Of a reply in bytes: below, packing costs more than it saves."""
_LEVEL = 1
"""The quickest: half the size of the slowest for JSON, for a fifth of its time."""
_UNPACKED = (b"gzip", b"x-gzip", b"deflate")
_ANY_HEADER = zlib.MAX_WBITS | 32
"""gzip and zlib are told apart by their heads."""
_ASKED = re.compile(rb"(?:^|[\s,])gzip(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")


class Coding:
    """Reads `Content-Encoding: gzip` and `deflate`, and answers in gzip where `Accept-Encoding` has it."""

    def __init__(self, app: ASGIApp, *, packs: bool) -> None:
        """`packs`: whether answers are packed at all."""
        self._app = app
        self._packing = GZipMiddleware(app, minimum_size=_SMALLEST, compresslevel=_LEVEL) if packs else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a body that nobody need unpack."""
        app = self._app
        for name, value in scope["headers"]:
            if name == b"accept-encoding" and _ASKED.search(value):
                app = self._packing
            elif name == b"content-encoding" and value.strip().lower() in _UNPACKED:
                receive = _Unpacking(receive)
                scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != b"content-encoding"]}
        await app(scope, receive, send)


class _Unpacking:
    """The messages of a request whose body is packed, with pieces of what is in it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._inflater = zlib.decompressobj(_ANY_HEADER)
        self._packed = b""
        self._comes_more = True
        self._is_over = False

    async def __call__(self) -> Message:
        """The next piece, Malformed for what is not packed as its header says; after the last one what else comes."""
        while not self._is_over:
            if not self._packed and self._comes_more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._packed, self._comes_more = message.get("body", b""), message.get("more_body", False)
            if (piece := self._unpack()) or self._is_over:
                # A small body may unfold into many pieces, and others want to be answered in between.
                await asyncio.sleep(0)
                return {"type": "http.request", "body": piece, "more_body": not self._is_over}
        return await self._receive()

    def _unpack(self) -> bytes:
        inflater = self._inflater
        try:
            piece = inflater.decompress(self._packed, _PIECE)
        except zlib.error as error:
            raise Malformed(f"the body is not compressed as its Content-Encoding says: {error}") from None
        self._packed = inflater.unconsumed_tail
        if inflater.unused_data:
            raise Malformed("the body goes on after the end of what is compressed; send it in one piece")
        # What has been read may give more than was asked for.
        if not self._packed and not self._comes_more and len(piece) < _PIECE:
            if not inflater.eof:
                raise Malformed("the body ends in the middle of what is compressed; send it whole")
            self._is_over = True
        return piece
