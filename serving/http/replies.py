"""Replies and faults of the protocols, as the web framework sends them."""

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tunewright.serving.errors import ServingError
from tunewright.serving.protocols import protocol
from tunewright.serving.protocols.protocol import Explain, Fault, Reply, explained, fault_of


def response(reply: Reply) -> Response:
    """A reply of a protocol."""
    return Response(reply.content, reply.status, dict(reply.headers), reply.media_type)


def json_reply(content: bytes) -> Response:
    """What is there already, as it is."""
    return Response(content, media_type="application/json")


def error_reply(
    status: int, kind: str, sentence: str, headers: Mapping[str, str] | None = None, explain: Explain = explained
) -> Response:
    """A reply that says what is wrong, in the words of a protocol."""
    return fault_reply(Fault(status, kind, sentence, headers or {}), explain)


def fault_reply(fault: Fault, explain: Explain = explained) -> Response:
    """The same of a fault."""
    return response(protocol.fault_reply(fault, explain))


def logged(error: Exception) -> Fault:
    """An error as a fault; one of this program is written to the log."""
    if not isinstance(error, ServingError):
        logging.getLogger(__name__).error("a request failed", exc_info=error)
    return fault_of(error)


async def refused(request: Request, error: Exception) -> Response:
    """No such page, or not with this method."""
    assert isinstance(error, HTTPException)
    place = f"{request.method} {request.url.path!r}"
    if error.status_code == 404:
        return error_reply(404, "NotFound", f"there is nothing at {place}; ask with POST /predict, read /docs")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = ", ".join(sorted(headers.get("Allow", "").split(", ")))
        return error_reply(405, "MethodNotAllowed", f"{place} is not possible; allowed: {allowed}", headers)
    return error_reply(error.status_code, "Refused", f"{place}: {error.detail}", headers)


async def unanswered(request: Request, error: Exception) -> Response:
    """A page that cannot be had for now."""
    return fault_reply(fault_of(error))


async def crashed(request: Request, error: Exception) -> Response:
    """A fault of this program where nothing else answered."""
    return fault_reply(fault_of(error))
