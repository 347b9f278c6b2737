"""What goes wrong, as a reply: a status and `{"error", "error_type"}`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

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
from tunewright.serving.request.json_text import to_json

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
BROKEN = {"error": "this server made a mistake; its log says which", "error_type": "InternalError"}
"""What a caller learns of a fault of this program; the log has the rest."""


def json_reply(content: bytes) -> Response:
    """What is there already, as it is."""
    return Response(content, media_type="application/json")


def error_reply(status: int, content: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    """A reply that says what is wrong."""
    return Response(to_json(content), status, headers, "application/json")


def fault(error: ServingError) -> Response:
    """The reply to a request that ends with this error."""
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Incomplete):
        headers["Connection"] = "close"
    return error_reply(status_of(error), explained(error), headers)


def status_of(error: ServingError) -> int:
    """The HTTP status of an error."""
    return STATUS.get(type(error), 500)


def explained(error: ServingError) -> dict[str, str]:
    """An error as a caller reads it."""
    return {"error": str(error), "error_type": type(error).__name__}


async def refused(request: Request, error: Exception) -> Response:
    """No such page, or not with this method."""
    assert isinstance(error, HTTPException)
    place = f"{request.method} {request.url.path!r}"
    if error.status_code == 404:
        sentence = f"there is nothing at {place}; ask with POST /predict, read /docs"
        return error_reply(404, {"error": sentence, "error_type": "NotFound"})
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = ", ".join(sorted(headers.get("Allow", "").split(", ")))
        sentence = f"{place} is not possible; allowed: {allowed}"
        return error_reply(405, {"error": sentence, "error_type": "MethodNotAllowed"}, headers)
    content = {"error": f"{place}: {error.detail}", "error_type": "Refused"}
    return error_reply(error.status_code, content, headers)


async def crashed(request: Request, error: Exception) -> Response:
    """A fault of this program where nothing else answered."""
    return error_reply(500, BROKEN)
