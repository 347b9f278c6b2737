"""POST /predict: one request, one reply."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from tunewright.serving.errors import Left, ServingError
from tunewright.serving.http.body import read_body
from tunewright.serving.http.replies import BROKEN, error_reply, fault, json_reply
from tunewright.serving.live.service import Service
from tunewright.serving.protocols import huggingface

Result = TypeVar("Result")


async def predict(request: Request) -> Response:
    """Answer the inputs of a request, whatever happens with JSON."""
    service: Service = request.app.state.service
    begun = time.monotonic()
    response = await _answered(request, service)
    service.meters.answered(service.served, response.status_code, time.monotonic() - begun)
    return response


async def _answered(request: Request, service: Service) -> Response:
    try:
        service.admission.check()
        with service.bodies.share() as share:
            body = await read_body(request, share, most=service.body_bytes, seconds=service.limits.body_seconds)
            with service.admission.slot():
                return json_reply(await while_awaited(request, huggingface.predict(service, body)))
    except ServingError as error:
        return fault(error)
    except Exception:  # here, so that the connection lives on
        logging.getLogger(__name__).exception("a request failed")
        return error_reply(500, BROKEN)


async def while_awaited(request: Request, work: Awaitable[Result]) -> Result:
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
