"""`/v1/responses` of OpenAI's API: one answer to a text or to a conversation."""

from collections.abc import Mapping, Sequence

from tunewright.serving.errors import InputError, shown
from tunewright.serving.generation.detokenizer import first_stop
from tunewright.serving.live.models import Models
from tunewright.serving.protocols.chats.asked import writer
from tunewright.serving.protocols.chats.described import SAMPLING
from tunewright.serving.protocols.chats.messages import ROLES, read_messages
from tunewright.serving.protocols.chats.options import grammar, parameters, stops
from tunewright.serving.protocols.chats.response import EVENTS, Response, ResponseEvents
from tunewright.serving.protocols.plain import (
    body_object,
    checked,
    json_reply,
    neutral_schema,
    object_of,
    switch,
    take_neutral,
    text_of,
)
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Reply, event_schema
from tunewright.serving.request.schema import FILLED, TEXT, Schema, closed, list_of, needing, nullable

_READ = ("input", "instructions", "model", "max_output_tokens", "temperature", "top_p", "text", "stream")
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
    streaming = switch(content, "stream")
    form = object_of(content.get("text"), "'text'").get("format")
    options = {**content, "max_tokens": content.get("max_output_tokens")}
    asked = parameters(service, options, None) | grammar(service, _as_in_chats(form))
    request, _ = checked(service, [{"messages": _conversation(content)}], asked)
    response = Response(service.version.name)

    def write(answers: list[object]) -> Reply:
        assert isinstance(answers[0], list)
        [answer] = answers[0]
        text = answer["generated_text"][: first_stop(answer["generated_text"], stops(request))]
        details = answer["details"]
        counts = {"read": details["input_length"], "wrote": details["generated_tokens"]}
        return json_reply(response.done(text, details["finish_reason"], **counts))

    return Asked(service, request, write, ResponseEvents(response, service, request) if streaming else None)


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
        "stream": nullable({"type": "boolean"}),
        **{name: neutral_schema(legal) for name, legal in _NEUTRAL.items()},
    }
    answer: Schema = {"type": "object"}
    summary = "One answer to a text or a conversation, as in the API of OpenAI"
    told = "Also under `/openai/v1`. With `stream`, events have OpenAI's names: `response.output_text.delta` and so on."
    return Described("responses", summary, needing(request, "input"), answer, event_schema(*EVENTS), told)


def _conversation(content: Mapping[str, object]) -> list[dict[str, object]]:
    """The messages of `input`, behind the `instructions`."""
    asked, instructions = content.get("input"), content.get("instructions")
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list):
        raise InputError(f"'input' is {shown(asked)}; send a text, or a list of messages")
    before = [] if instructions is None else [{"role": "system", "content": text_of(content, "instructions")}]
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
