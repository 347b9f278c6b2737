"""HTTP around a service: routes, status codes and headers, nothing else."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path

from tunewright.serving.errors import (
    DeadlineExceeded,
    Incomplete,
    InputError,
    Left,
    Malformed,
    ModelFault,
    Overloaded,
    ServingError,
    TooLarge,
)
from tunewright.serving.http.body import read_body
from tunewright.serving.http.openapi import document
from tunewright.serving.live.service import Service
from tunewright.serving.protocols import huggingface
from tunewright.serving.queue.bodies import Share
from tunewright.serving.request.json_text import to_json
from tunewright.serving.watch.meters import CONTENT_TYPE

Handler = Callable[[Request], Awaitable[Response]]
Result = TypeVar("Result")

STATUS: dict[type[ServingError], int] = {
    Malformed: 400,
    Incomplete: 408,
    TooLarge: 413,
    InputError: 422,
    Overloaded: 429,
    Left: 499,
    ModelFault: 500,
    DeadlineExceeded: 503,
}
"""The HTTP status of each error a request can end with."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{title}</title>
    <link rel="stylesheet" href="docs/assets/swagger-ui.css">
    <link rel="icon" href="docs/assets/favicon-32x32.png">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="docs/assets/swagger-ui-bundle.js"></script>
    <script>SwaggerUIBundle({{url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true}})</script>
  </body>
</html>
"""
_BROKEN = ("InternalError", "this server made a mistake; its log says which")


def create_app(service: Service) -> Starlette:
    """The web application of one service."""
    routes: list[BaseRoute] = [Route(path, handler, methods=["GET"]) for path, handler in _GET.items()]
    routes += _post("/predict", predict)
    if service.predictor.writes:
        routes += _post("/predict/stream", stream)
    routes.append(Mount("/docs/assets", StaticFiles(directory=str(swagger_ui_path))))
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _refused, Exception: _crashed},
        middleware=[Middleware(_Stamp, service=service), Middleware(_Doors, service=service)],
    )
    app.state.service = service
    app.state.document = to_json(document(service))
    return app


def _post(path: str, handler: Handler) -> list[Route]:
    """A slash more at the end is no other address: a redirect loses the body in some clients, the scheme in others."""
    return [Route(spelt, handler, methods=["POST"]) for spelt in (path, path + "/")]


async def predict(request: Request) -> Response:
    """Answer the inputs of a request, whatever happens with JSON."""
    service = _service(request)
    begun = time.monotonic()
    response = await _answered(request, service)
    service.meters.answered(service.served, response.status_code, time.monotonic() - begun)
    return response


async def stream(request: Request) -> Response:
    """Answer one input while the answer is written: server-sent events, the last one with `finish` or `error`."""
    service = _service(request)
    held = contextlib.ExitStack()
    begun = time.monotonic()

    def done(status: int) -> None:
        held.close()
        service.meters.answered(service.served, status, time.monotonic() - begun)

    try:
        service.admission.check()
        body = await _body(request, service, held.enter_context(service.bodies.share()))
        held.enter_context(service.admission.slot())
        answer = huggingface.stream(service, body)
        first = await _while_awaited(request, anext(answer))
    except ServingError as error:
        response = _fault(error)
    except Exception:
        logging.getLogger(__name__).exception("a request failed")
        response = _broken()
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
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
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
        outcome.status = 200
    except ServingError as error:
        outcome.status = STATUS.get(type(error), 500)
        yield _event(_explained(type(error).__name__, str(error)))
    except Exception:
        outcome.status = 500
        logging.getLogger(__name__).exception("a request failed while its answer was written")
        yield _event(_explained(*_BROKEN))


def _event(content: dict[str, str]) -> bytes:
    return b"data: " + to_json(content) + b"\n\n"


async def alive(request: Request) -> Response:
    """The process runs and its event loop turns."""
    return _json(to_json({"status": "alive"}))


async def ready(request: Request) -> Response:
    """Whether a load balancer should send requests here."""
    service = _service(request)
    if service.draining:
        return _error(503, "NotReady", "this server is about to stop: send requests to another one")
    return _json(to_json({"status": "ready", "model": str(service)}))


async def metrics(request: Request) -> Response:
    """The page for Prometheus."""
    return Response(_service(request).meters.page(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return _json(request.app.state.document)


async def docs(request: Request) -> Response:
    """The Swagger page; its addresses are relative, so that it works behind a path prefix and without internet."""
    return HTMLResponse(_PAGE.format(title=escape(f"Tunewright: {_service(request)}")))


async def home(request: Request) -> Response:
    """There is no page of its own yet."""
    return RedirectResponse("docs", status_code=307)


_GET: dict[str, Handler] = {
    "/healthz": alive,
    "/livez": alive,
    "/readyz": ready,
    "/metrics": metrics,
    "/openapi.json": openapi,
    "/docs": docs,
    "/": home,
}


class _Stamp:
    """Writes on each reply who answered, and asks callers to leave while the server drains."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Tunewright-Model"] = str(self._service)
                # A kept-alive connection would otherwise be cut when the server closes.
                if self._service.draining:
                    headers["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, stamped)


class _Doors:
    """Where the metrics have a port of their own they are there and nothing else is, and nowhere else."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        port = self._service.metrics_port
        if port is None or (scope["server"][1] == port) == (scope["path"] == "/metrics"):
            await self._app(scope, receive, send)
            return
        place = f"{scope['method']} {scope['path']!r}"
        sentence = f"there is nothing at {place} of this port; the metrics have one of their own (SERVING_METRICS_PORT)"
        await _error(404, "NotFound", sentence)(scope, receive, send)


async def _answered(request: Request, service: Service) -> Response:
    try:
        service.admission.check()
        with service.bodies.share() as share:
            body = await _body(request, service, share)
            with service.admission.slot():
                return _json(await _while_awaited(request, huggingface.predict(service, body)))
    except ServingError as error:
        return _fault(error)
    except Exception:  # here, so that the connection lives on
        logging.getLogger(__name__).exception("a request failed")
        return _broken()


async def _while_awaited(request: Request, work: Awaitable[Result]) -> Result:
    """The result of the work, which is cancelled when the caller leaves: Left."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Left("the caller closed the connection before the answer")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _leaving(request: Request) -> None:
    """Until the connection is closed; of a body that is whole there comes nothing more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, service: Service, share: Share) -> bytes:
    return await read_body(request, share, most=service.body_bytes, seconds=service.limits.body_seconds)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _error(status: int, kind: str, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(_explained(kind, sentence)), status, headers, "application/json")


def _explained(kind: str, sentence: str) -> dict[str, str]:
    return {"error": sentence, "error_type": kind}


def _fault(error: ServingError) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Incomplete):
        headers["Connection"] = "close"
    return _error(STATUS.get(type(error), 500), type(error).__name__, str(error), headers)


def _broken() -> Response:
    """A fault of this program: the caller learns that much, the log has the rest."""
    return _error(500, *_BROKEN)


async def _refused(request: Request, error: Exception) -> Response:
    """No such page, or not with this method."""
    assert isinstance(error, HTTPException)
    place = f"{request.method} {request.url.path!r}"
    if error.status_code == 404:
        return _error(404, "NotFound", f"there is nothing at {place}; ask with POST /predict, read /docs")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "").split(", ")
        sentence = f"{place} is not possible; allowed: {', '.join(sorted(allowed))}"
        return _error(405, "MethodNotAllowed", sentence, dict(error.headers or {}))
    return _error(error.status_code, "Refused", f"{place}: {error.detail}", dict(error.headers or {}))


async def _crashed(request: Request, error: Exception) -> Response:
    return _broken()
