"""POST /predict/stream: one request, and events while the answer is written."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tunewright.serving.errors import Left, ServingError
from tunewright.serving.http.body import read_body
from tunewright.serving.http.predict import while_awaited
from tunewright.serving.http.replies import BROKEN, STATUS, error_reply, explained, fault, status_of
from tunewright.serving.live.service import Service
from tunewright.serving.protocols import huggingface
from tunewright.serving.request.json_text import to_json

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def stream(request: Request) -> Response:
    """Answer one input while the answer is written: server-sent events, the last one with `finish` or `error`."""
    service: Service = request.app.state.service
    held = contextlib.ExitStack()
    begun = time.monotonic()

    def done(status: int) -> None:
        held.close()
        service.meters.answered(service.served, status, time.monotonic() - begun)

    try:
        service.admission.check()
        share = held.enter_context(service.bodies.share())
        body = await read_body(request, share, most=service.body_bytes, seconds=service.limits.body_seconds)
        held.enter_context(service.admission.slot())
        answer = huggingface.stream(service, body)
        first = await while_awaited(request, anext(answer))
    except ServingError as error:
        response = fault(error)
    except Exception:
        logging.getLogger(__name__).exception("a request failed")
        response = error_reply(500, BROKEN)
    else:
        outcome = _Outcome()
        return _Events(_events(first, answer, outcome), answer.aclose, lambda: done(outcome.status))
    done(response.status_code)
    return response


class _Events(StreamingResponse):
    """Server-sent events. However the sending ends, the writing ends too and the request is done."""

    def __init__(
        self, events: AsyncIterator[bytes], close: Callable[[], Awaitable[None]], done: Callable[[], None]
    ) -> None:
        super().__init__(events, headers=_HEADERS, media_type="text/event-stream")
        self._close, self._done = close, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()
            await self._close()


@dataclass
class _Outcome:
    """How a stream ended, as the status that it would have had if it had not been begun."""

    status: int = STATUS[Left]


async def _events(
    first: dict[str, str], answer: AsyncGenerator[dict[str, str]], outcome: _Outcome
) -> AsyncIterator[bytes]:
    try:
        yield _event(first)
        async for piece in answer:
            yield _event(piece)
            # Pieces that are there already would be written one after the other to a connection that is gone.
            await asyncio.sleep(0)
        outcome.status = 200
    except ServingError as error:
        outcome.status = status_of(error)
        yield _event(explained(error))
    except Exception:
        outcome.status = 500
        logging.getLogger(__name__).exception("a request failed while its answer was written")
        yield _event(BROKEN)


def _event(content: dict[str, str]) -> bytes:
    return b"data: " + to_json(content) + b"\n\n"
