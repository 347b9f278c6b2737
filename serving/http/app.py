"""HTTP around the models of a process: which address leads where."""

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route, compile_path
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from tunewright.serving.doors.spans import Tracing
from tunewright.serving.doors.stack import doors
from tunewright.serving.errors import ServingError
from tunewright.serving.http import pages
from tunewright.serving.http.ask import SERVED, Handler, asking, showing
from tunewright.serving.http.middleware import Doors, Known, Stamp
from tunewright.serving.http.openapi import PROTOCOLS
from tunewright.serving.http.replies import crashed, refused, unanswered
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.protocol import Explain, explained
from tunewright.serving.settings import ServingSettings

PAGES: dict[str, Handler] = {
    "/healthz": pages.alive,
    "/livez": pages.alive,
    "/readyz": pages.ready,
    "/startupz": pages.started,
    "/models": pages.catalogue,
    "/models/{model}": pages.one_of_it,
    "/metrics": pages.metrics,
    "/openapi.json": pages.openapi,
    "/docs": pages.docs,
    "/": pages.front,
}
"""What can be had with GET and HEAD."""
_ONE = f"/models/{{{SERVED}}}"


def create_app(models: Models, settings: ServingSettings | None = None, *, tracing: Tracing | None = None) -> Starlette:
    """The web application of one process; SettingsError for keys that cannot be read.

    `settings`: what is asked of requests before they are answered; nothing where there are none.
    """
    routes: list[BaseRoute] = [Route(path, handler, methods=["GET"]) for path, handler in PAGES.items()]
    asked: dict[str, Handler] = {}
    for protocol in PROTOCOLS:
        name = protocol.__name__.rpartition(".")[2]
        for operation in protocol.OPERATIONS:
            handler = asking(operation, name)
            routes += _spelt(operation.path, handler, ["POST"])
            asked = {address: handler for address in _addresses(operation.path) if "{" not in address} | asked
        for page in protocol.PAGES:
            routes += _spelt(page.path, showing(page), list(page.methods))
    routes.append(Mount("/docs/assets", StaticFiles(directory=str(swagger_ui_path))))
    has_two_ports = settings is None or settings.metrics_port is not None
    before = [
        Middleware(Stamp, models=models),
        *([Middleware(Doors, models=models)] if has_two_ports else ()),
        *(doors(settings, models.meters, _words(), tracing) if settings else ()),
        Middleware(Known, asked=asked),
    ]
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: refused, ServingError: unanswered, Exception: crashed}
    )
    # In front of all of the framework: what is asked at a known address never comes to it.
    stack = app.build_middleware_stack()
    for middleware, args, known in reversed(before):
        stack = middleware(stack, *args, **known)
    app.middleware_stack = stack
    app.state.models = models
    app.state.documents = WeakKeyDictionary[Service, bytes]()
    return app


def _words() -> Callable[[str], Explain]:
    """How faults are told at an address: as its protocol does."""
    operations = [one for protocol in PROTOCOLS for one in (*protocol.OPERATIONS, *protocol.PAGES)]
    table = [(compile_path(spelt)[0], one.explain) for one in operations for spelt in _addresses(one.path)]
    return lambda path: next((explain for address, explain in table if address.match(path)), explained)


def _spelt(path: str, handler: Handler, methods: list[str]) -> list[Route]:
    return [Route(spelt, handler, methods=methods) for spelt in _addresses(path)]


def _addresses(path: str) -> Iterator[str]:
    """All can be asked of each model by its name, too: /models/reviews/predict.

    A slash more at the end is no other address: a redirect loses the body in some clients, the scheme in others.
    """
    for one in (before + path.rstrip("/") for before in ("", _ONE)):
        yield from {one or "/", one + "/"}
