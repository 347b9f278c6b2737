"""What can be had with GET: health, metrics, the OpenAPI document and a page to read it."""

import asyncio
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tunewright.serving.http.ask import once_loaded
from tunewright.serving.http.openapi import document
from tunewright.serving.http.replies import error_reply, json_reply, response
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.page import page
from tunewright.serving.protocols.protocol import Call
from tunewright.serving.request.json_text import to_json
from tunewright.serving.watch.meters import CONTENT_TYPE

_DOCS = """\
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


async def alive(request: Request) -> Response:
    """The process listens and its event loop turns."""
    return json_reply(to_json({"status": "alive"}))


async def started(request: Request) -> Response:
    """Whether there has been something to answer with, or all that is missing is a version: to start again would not
    bring it. Until then nothing else of this server need be asked."""
    models = _models(request)
    if not models.is_started and models.waits_for is None:
        return error_reply(503, "NotReady", str(models.why_not_ready))
    return json_reply(to_json({"status": "started"}))


async def ready(request: Request) -> Response:
    """Whether a load balancer should send requests here."""
    models = _models(request)
    if (sentence := models.why_not_ready) is not None:
        return error_reply(503, "NotReady", sentence)
    return json_reply(to_json({"status": "ready", "model": str(models)}))


async def catalogue(request: Request) -> Response:
    """What is served here: each model with the version that answers, how it came to, and what went wrong last."""
    return json_reply(to_json({"models": _models(request).status()}))


async def one_of_it(request: Request) -> Response:
    """The same of one model."""
    models, name = _models(request), request.path_params["model"]
    model = models.model(name)
    return json_reply(to_json(next(one for one in models.status() if one["name"] == model.name)))


async def metrics(request: Request) -> Response:
    """The page for Prometheus."""
    return Response(_models(request).meters.page(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """The OpenAPI document of what answers now. Its example is a real answer, so it is made when it is asked for."""
    models = _models(request)
    service, documents = await _default(models), request.app.state.documents
    if service not in documents:
        made = await asyncio.to_thread(document, service, metrics=models.metrics_port is None)
        documents[service] = to_json(made)
    return json_reply(documents[service])


async def docs(request: Request) -> Response:
    """The Swagger page; its addresses are relative, so that it works behind a path prefix and without internet."""
    service = await _default(_models(request))
    return HTMLResponse(_DOCS.format(title=escape(f"Tunewright: {service}")))


async def front(request: Request) -> Response:
    """The page for a browser; for programs, which ask KServe's servers this, that the process runs."""
    return await (home if "text/html" in request.headers.get("accept", "") else alive)(request)


async def home(request: Request) -> Response:
    """The page for people."""
    return response(page.home(_models(request), Call(headers=request.headers)))


async def _default(models: Models) -> Service:
    """Who answers where no model is named; one that is out of memory once it is back."""

    async def find() -> Service:
        return models.default

    return await once_loaded(models, find)


def _models(request: Request) -> Models:
    models: Models = request.app.state.models
    return models
