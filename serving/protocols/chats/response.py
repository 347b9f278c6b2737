"""What `/v1/responses` answers with: the object that a response is, whole and while it is written."""

import time
import uuid
from collections.abc import Mapping

from tunewright.serving.generation.detokenizer import Piece
from tunewright.serving.generation.sequences import FINISH
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.protocols.plain import tokens
from tunewright.serving.protocols.protocol import Fault, event
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.request import Request

EVENTS = tuple(
    f"response.{name}"
    for name in (
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
        "incomplete",
        "failed",
    )
)
"""What events of a response are called, in their order."""
_AT: Mapping[str, object] = {"output_index": 0, "content_index": 0}
"""Where the only text is."""


class Response:
    """One answer, which is one message of one text."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id, self.message_id = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        self._created = int(time.time())

    def begun(self) -> dict[str, object]:
        """Nothing of it is there yet."""
        return self._told("in_progress", [])

    def done(self, text: str, reason: str, *, read: int, wrote: int) -> dict[str, object]:
        """All of it. `reason`: why it ends. `read`, `wrote`: tokens."""
        cut = reason == FINISH["length"]
        status = "incomplete" if cut else "completed"
        usage = {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": wrote,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + wrote,
        }
        told = {"incomplete_details": {"reason": "max_output_tokens"} if cut else None, "usage": usage}
        return self._told(status, [self.message(status, [text_part(text)])], **told)

    def failed(self, sentence: str) -> dict[str, object]:
        """It broke off."""
        return self._told("failed", [], error={"code": "server_error", "message": sentence})

    def message(self, status: str, content: list[object]) -> dict[str, object]:
        """The message in it."""
        return {
            "type": "message",
            "id": self.message_id,
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _told(self, status: str, output: list[object], **more: object) -> dict[str, object]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "model": self._model,
            "status": status,
            "incomplete_details": None,
            "error": None,
            "output": output,
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "usage": None,
            **more,
        }


def text_part(text: str) -> dict[str, object]:
    """A text, as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": []}


class ResponseEvents:
    """A response while it is written: events with names and numbers."""

    def __init__(self, response: Response, service: Service, request: Request) -> None:
        self._response, self._service, self._request = response, service, request
        self._number = 0
        self._texts: list[str] = []
        self._wrote = 0
        """Tokens."""

    def piece(self, piece: str) -> bytes:
        """What comes next."""
        begun = self._begun()
        self._texts.append(str(piece))
        self._wrote += len(piece.ids) if isinstance(piece, Piece) else 0
        return begun + (self._of_text("delta", delta=str(piece), logprobs=[]) if piece else b"")

    def end(self, ended: Ended) -> bytes:
        """That is all: the whole text again, its message, and the response."""
        sent, text = self._begun(), "".join(self._texts)
        read = tokens(self._service, self._request)
        done = self._response.done(text, FINISH[ended.finish], read=read, wrote=self._wrote)
        status = str(done["status"])
        sent += self._of_text("done", text=text, logprobs=[])
        sent += self._part("done", text)
        message = self._response.message(status, [text_part(text)])
        sent += self._event("output_item.done", output_index=0, item=message)
        return sent + self._event(status, response=done)

    def fault(self, fault: Fault) -> bytes:
        """It breaks off here."""
        return self._begun() + self._event("failed", response=self._response.failed(fault.sentence))

    def _begun(self) -> bytes:
        """Before the first piece: the response, its message and the text in it, all empty."""
        if self._number:
            return b""
        begun = self._response.begun()
        sent = self._event("created", response=begun) + self._event("in_progress", response=begun)
        sent += self._event("output_item.added", output_index=0, item=self._response.message("in_progress", []))
        return sent + self._part("added", "")

    def _part(self, what: str, text: str) -> bytes:
        return self._event(f"content_part.{what}", item_id=self._response.message_id, **_AT, part=text_part(text))

    def _of_text(self, what: str, **more: object) -> bytes:
        return self._event(f"output_text.{what}", item_id=self._response.message_id, **_AT, **more)

    def _event(self, name: str, **told: object) -> bytes:
        kind = f"response.{name}"
        content = to_json({"type": kind, "sequence_number": self._number, **told})
        self._number += 1
        return b"event: " + kind.encode() + b"\n" + event(content)
