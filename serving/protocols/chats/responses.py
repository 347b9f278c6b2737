"""`/v1/responses` of OpenAI's API: one answer to a text or to a conversation, whole."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.serving.errors import InputError, shown
from tunewright.serving.generation.detokenizer import first_stop
from tunewright.serving.live.models import Models
from tunewright.serving.protocols.chats.asked import writer
from tunewright.serving.protocols.chats.described import SAMPLING
from tunewright.serving.protocols.chats.messages import ROLES, read_messages
from tunewright.serving.protocols.chats.options import grammar, parameters, stops
from tunewright.serving.protocols.plain import body_object, checked, json_reply, neutral_schema, object_of, take_neutral
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Reply
from tunewright.serving.request.schema import FILLED, TEXT, Schema, closed, list_of, needing, nullable

_READ = ("input", "instructions", "model", "max_output_tokens", "temperature", "top_p", "text")
_NEUTRAL: Mapping[str, Sequence[object] | None] = {
    "background": (False,),
    "include": ([],),
    "metadata": None,
    "parallel_tool_calls": (True, False),
    "previous_response_id": (),
    "reasoning": ({},),
    "safety_identifier": None,
    "service_tier": ("auto", "default"),
    "store": (True, False),
    "stream": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "user": None,
}
"""What else the API has, and the values besides null that ask for nothing here; nothing is stored in any case."""


def responses(models: Models, call: Call) -> Asked:
    """POST /v1/responses."""
    content = body_object(call)
    service = writer(models, content)
    take_neutral({name: value for name, value in content.items() if name not in _READ}, _NEUTRAL, _READ)
    form = object_of(content.get("text"), "'text'").get("format")
    options = {**content, "max_tokens": content.get("max_output_tokens")}
    asked = parameters(service, options, None) | grammar(service, _as_in_chats(form))
    request, _ = checked(service, [{"messages": _conversation(content)}], asked)

    def write(answers: list[object]) -> Reply:
        assert isinstance(answers[0], list)
        [answer] = answers[0]
        text = answer["generated_text"][: first_stop(answer["generated_text"], stops(request))]
        return json_reply(_response(service.version.name, text, answer["details"]))

    return Asked(service, request, write)


def described(about: About) -> Described | None:
    """What `responses` is asked and answers."""
    if about.model.task != "text-generation":
        return None
    said = {"anyOf": [FILLED, list_of({"type": "object"}, minItems=1)]}
    message = closed(
        {"role": {**TEXT, "enum": [*ROLES, "developer"]}, "content": said, "type": TEXT}, optional=("type",)
    )
    request = {
        "input": {"anyOf": [FILLED, list_of(message, minItems=1)]},
        "instructions": nullable(FILLED),
        "model": nullable(TEXT),
        "max_output_tokens": nullable({"type": "integer", "minimum": 1}),
        **SAMPLING,
        "text": nullable({"type": "object"}),
        **{name: neutral_schema(legal) for name, legal in _NEUTRAL.items()},
    }
    answer: Schema = {"type": "object"}
    summary = "One answer to a text or a conversation, as in the API of OpenAI"
    return Described("responses", summary, needing(request, "input"), answer, None, "Also under `/openai/v1`.")


def _conversation(content: Mapping[str, object]) -> list[dict[str, object]]:
    """The messages of `input`, behind the `instructions`."""
    asked, instructions = content.get("input"), content.get("instructions")
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list):
        raise InputError(f"'input' is {shown(asked)}; send a text, or a list of messages")
    if instructions is not None and not isinstance(instructions, str):
        raise InputError(f"'instructions' is {shown(instructions)}; send a text")
    before = [] if instructions is None else [{"role": "system", "content": instructions}]
    return read_messages([*before, *map(_message, asked)])


def _message(message: object) -> object:
    """A message as in chats."""
    if not isinstance(message, dict) or message.get("type", "message") != "message":
        return message
    kept = {name: value for name, value in message.items() if name not in ("type", "id", "status")}
    if isinstance(parts := kept.get("content"), list):
        kept["content"] = [_part(part) for part in parts]
    return kept


def _part(part: object) -> object:
    match part:
        case {"type": "input_text" | "output_text", "text": str(text)}:
            return {"type": "text", "text": text}
    return part


def _as_in_chats(form: object) -> object:
    """The form of an answer, whose schema chats have a level deeper."""
    match form:
        case {"type": "json_schema", "schema": dict(schema)}:
            return {"type": "json_schema", "json_schema": {"schema": schema}}
    return form


def _response(model: str, text: str, details: Mapping[str, Any]) -> dict[str, object]:
    cut = {"reason": "max_output_tokens"} if details["finish_reason"] == "length" else None
    status = "completed" if cut is None else "incomplete"
    said = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": f"msg_{uuid.uuid4().hex}", "role": "assistant", "status": status}
    read, wrote = details["input_length"], details["generated_tokens"]
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "status": status,
        "incomplete_details": cut,
        "error": None,
        "output": [{**message, "content": [said]}],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": wrote,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + wrote,
        },
    }
