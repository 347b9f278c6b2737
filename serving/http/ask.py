"""One request of a protocol, and its reply or its events."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tunewright.serving.errors import DeadlineExceeded, Left, Malformed, NotLoaded, shown
from tunewright.serving.http.body import read_body
from tunewright.serving.http.connection import arrival_of
from tunewright.serving.http.replies import fault_reply, logged, response
from tunewright.serving.live.model import Visit
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.live.shadow import Question
from tunewright.serving.protocols.protocol import STATUS, Asked, Call, Events, Operation, Page, Reply
from tunewright.serving.queue.bodies import SMALL_BODY
from tunewright.serving.watch.meters import reason
from tunewright.serving.watch.seen import now_seen

Handler = Callable[..., Awaitable[Response | None]]
"""What answers at an address: a function of a request, or an application."""
Write = Callable[[list[object]], Reply]
Result = TypeVar("Result")

_REFUSALS = {408, 413, 429, 503}
"""What is counted as a request that was sent away."""
SERVED = "served"
"""Place of an address that names the model before the operation: /models/{served}/predict."""
_STICKY = "x-tunewright-sticky"
"""Who sends the same here is answered by the same version, as long as it is there."""
_TIMEOUT = "X-Request-Timeout-Ms"
"""How long a caller waits, in whole milliseconds, where that is less than the limit."""
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def asking(operation: Operation, protocol: str) -> Handler:
    """What answers an operation, whatever happens in the words of its protocol, by whose name it is counted."""

    async def handler(request: Request) -> Response:
        models: Models = request.app.state.models
        done = _Done(models, protocol, operation.path)
        try:
            made = await _answered(request, models, operation, done)
        except Exception as error:  # here, so that the connection lives on
            fault = logged(error)
            made = fault_reply(fault, operation.explain)
            if fault.status in _REFUSALS:
                models.meters.refused(reason(fault.sentence, fault.kind))
        if not isinstance(made, _EventStream):
            done.with_status(made.status_code)
        return made

    return _Bare(handler)


def showing(page: Page) -> Handler:
    """What answers a page."""

    async def handler(request: Request) -> Response:
        models: Models = request.app.state.models
        try:
            with models.bodies.share() as share:
                body = await read_body(request, share, most=SMALL_BODY, seconds=models.limits.body_seconds)
                call = _call(request, body)
                with models.visited(Visit(body, call.path.get(SERVED))) as seen:
                    return response(await _shown(seen, page, call))
        except Exception as error:
            return fault_reply(logged(error), page.explain)

    return handler


async def _shown(models: Models, page: Page, call: Call) -> Reply:
    async def answer() -> Reply:
        return page.answer(models, call)

    return await once_loaded(models, answer)


async def once_loaded(models: Models, work: Callable[[], Awaitable[Result]]) -> Result:
    """The result of work that needs a model; of one that is out of memory once it is back."""
    try:
        return await work()
    except NotLoaded as missing:
        name = missing.model
    seconds = models.limits.deadline_seconds
    try:
        async with asyncio.timeout(seconds):
            while True:
                await models.loaded(name)
                # Others may have taken its place meanwhile, where there is room for few.
                with contextlib.suppress(NotLoaded):
                    return await work()
    except TimeoutError:
        raise DeadlineExceeded(
            f"{name} could not be loaded within {seconds:g} s (SERVING_LIMITS__DEADLINE_SECONDS); try again"
        ) from None


@dataclass(frozen=True, slots=True)
class _Bare:
    """A handler as an application of its own: the framework's wrapping costs more than the reading of a request."""

    handler: Callable[[Request], Awaitable[Response]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        request._headers = _Heads(scope=scope)
        made = await self.handler(request)
        await made(scope, receive, send)


class _Heads(Headers):
    """Headers that are looked up, not searched: each search costs more than all look-ups of a request."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._first: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    def get(self, key: str, default: Any = None) -> Any:
        """The first of that name."""
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")


class _Done:
    """What a request holds until it is done, and who is to count it."""

    def __init__(self, models: Models, protocol: str, route: str) -> None:
        self._held: list[contextlib.AbstractContextManager[object]] = []
        self.service: Service | None = None
        self.seen = now_seen()
        self.seen.protocol, self.seen.route = protocol, route
        self._models = models
        self._begun = time.monotonic()

    def hold(self, one: contextlib.AbstractContextManager[Result]) -> Result:
        """From now on, until it is done. Less than an ExitStack, which takes as long as the reading of a request."""
        found = one.__enter__()
        self._held.append(one)
        return found

    def with_status(self, status: int) -> None:
        seconds = time.monotonic() - self._begun
        self.seen.status = status
        with contextlib.suppress(NotLoaded):
            service = self.service or self._models.default
            self.seen.served = service.served
            self._models.answered(service, status, seconds)
            self._models.meters.answered(service.served, status, seconds, protocol=self.seen.protocol)
        # Last, as a version that nobody holds any more may leave the figures.
        while self._held:
            self._held.pop().__exit__(None, None, None)


async def _answered(request: Request, models: Models, operation: Operation, done: _Done) -> Response:
    models.admission.check()
    share = done.hold(models.bodies.share())
    body = await read_body(request, share, most=models.body_bytes, seconds=models.limits.body_seconds)
    done.hold(models.admission.slot())
    done.hold(models.turn(len(body)))
    call = _call(request, body)
    key = call.headers.get(_STICKY, "").encode() or body
    seen = done.hold(models.visited(Visit(key, call.path.get(SERVED))))
    asked = await while_awaited(request, _read(seen, operation, call))
    done.service, done.seen.served, done.seen.rows = asked.service, asked.service.served, len(asked.request.inputs)
    seconds = _seconds(request)
    if asked.events is None:
        write = _noted(models, operation, call, asked, key)
        # Callers with keys take turns; without keys each request is a caller of its own.
        answer = asked.service.answer(asked.request, write, seconds=seconds, caller=done.seen.key or None)
        return response(await while_awaited(request, answer))
    return await _begun(request, asked, asked.events, done, seconds)


async def _read(models: Models, operation: Operation, call: Call) -> Asked:
    def read() -> Awaitable[Asked]:
        return models.read(lambda: operation.read(models, call), size=len(call.body))

    return await once_loaded(models, read)


def _noted(models: Models, operation: Operation, call: Call, asked: Asked, key: bytes) -> Write:
    """How the answers are written; where a version is compared with another one, that is asked the same later on."""
    if len(call.body) > SMALL_BODY or (compared := models.mirrored(asked.service, key)) is None:
        return asked.write
    (other, comparison), loop = compared, asyncio.get_running_loop()

    async def again(service: Service) -> list[object]:
        with models.visited(Visit(key, call.path.get(SERVED), service)) as seen:
            same = operation.read(seen, call)
            return await same.service.answer(same.request, list)

    def write(answers: list[object]) -> Reply:
        question = Question(asked.request.inputs, asked.service, answers, other, again, comparison)
        loop.call_soon_threadsafe(models.ask_later, question)
        return asked.write(answers)

    return write


def _seconds(request: Request) -> float | None:
    """How long the caller waits, where it says so; Malformed."""
    if (asked := request.headers.get(_TIMEOUT)) is None:
        return None
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10 and int(asked)):
        raise Malformed(f"{_TIMEOUT} is {shown(asked)}; send whole milliseconds, at least 1")
    return int(asked) / 1000


async def _begun(request: Request, asked: Asked, events: Events, done: _Done, seconds: float | None) -> Response:
    """A stream whose first piece is there: what is wrong with a request has its own status."""
    pieces = asked.service.stream(asked.request, seconds=seconds)
    first = await while_awaited(request, anext(pieces))
    outcome = _Outcome()
    written = _written(first, pieces, events, outcome)
    return _EventStream(written, pieces.aclose, lambda: done.with_status(outcome.status))


def _call(request: Request, body: bytes) -> Call:
    query = request.query_params if request.scope["query_string"] else {}
    return Call(body, request.path_params, query, request.headers)


async def while_awaited(request: Request, work: Awaitable[Result]) -> Result:
    """The result of the work, which is cancelled when the caller leaves: Left."""
    task, arrival = asyncio.current_task(), arrival_of(request.scope)
    assert task is not None
    # Not a task that waits for the end of the connection: to begin and end one costs as much as all of a small answer.
    arrival.on_leave = task.cancel
    try:
        return await work
    except asyncio.CancelledError:
        if not arrival.has_left:
            raise
        task.uncancel()
        raise Left("the caller closed the connection before the answer") from None
    finally:
        arrival.on_leave = None


class _EventStream(StreamingResponse):
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


async def _written(
    first: str | Ended, pieces: AsyncGenerator[str | Ended], events: Events, outcome: _Outcome
) -> AsyncIterator[bytes]:
    try:
        yield _event(events, first)
        async for piece in pieces:
            yield _event(events, piece)
            # Pieces that are there already would be written one after the other to a connection that is gone.
            await asyncio.sleep(0)
        outcome.status = 200
    except Exception as error:
        fault = logged(error)
        outcome.status = fault.status
        yield events.fault(fault)


def _event(events: Events, piece: str | Ended) -> bytes:
    return events.end(piece) if isinstance(piece, Ended) else events.piece(piece)
