"""HTTP around a service: which address leads where."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from tunewright.serving.http import pages
from tunewright.serving.http.middleware import Doors, Stamp
from tunewright.serving.http.openapi import document
from tunewright.serving.http.predict import predict
from tunewright.serving.http.replies import crashed, refused
from tunewright.serving.http.stream import stream
from tunewright.serving.live.service import Service
from tunewright.serving.request.json_text import to_json

Handler = Callable[[Request], Awaitable[Response]]

PAGES: dict[str, Handler] = {
    "/healthz": pages.alive,
    "/livez": pages.alive,
    "/readyz": pages.ready,
    "/metrics": pages.metrics,
    "/openapi.json": pages.openapi,
    "/docs": pages.docs,
    "/": pages.home,
}
"""What can be had with GET and HEAD."""


def create_app(service: Service) -> Starlette:
    """The web application of one service."""
    routes: list[BaseRoute] = [Route(path, handler, methods=["GET"]) for path, handler in PAGES.items()]
    routes += _post("/predict", predict)
    if service.predictor.writes:
        routes += _post("/predict/stream", stream)
    routes.append(Mount("/docs/assets", StaticFiles(directory=str(swagger_ui_path))))
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: refused, Exception: crashed},
        middleware=[Middleware(Stamp, service=service), Middleware(Doors, service=service)],
    )
    app.state.service = service
    app.state.document = to_json(document(service))
    return app


def _post(path: str, handler: Handler) -> list[Route]:
    """A slash more at the end is no other address: a redirect loses the body in some clients, the scheme in others."""
    return [Route(spelt, handler, methods=["POST"]) for spelt in (path, path + "/")]
