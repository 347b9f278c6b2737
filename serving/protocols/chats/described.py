"""What chats and completions say of themselves in the OpenAPI document."""

from tunewright.serving.protocols.chats.answers import usage
from tunewright.serving.protocols.chats.messages import ROLES, STAND_INS, UNSAID
from tunewright.serving.protocols.chats.options import MOST_CHOICES, MOST_TOP, NEUTRAL
from tunewright.serving.protocols.plain import neutral_schema
from tunewright.serving.protocols.protocol import EVENT, About, Described
from tunewright.serving.request.schema import FILLED, TEXT, Schema, closed, list_of, needing, nullable

SAMPLING: Schema = {
    "temperature": nullable({"type": "number", "minimum": 0, "maximum": 1000}),
    "top_p": nullable({"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1}),
}


def chat(about: About) -> Described | None:
    """A chat."""
    if about.model.task != "text-generation":
        return None
    part = closed({"type": {**TEXT, "enum": ["text"]}, "text": TEXT})
    message: Schema = {
        "role": {**TEXT, "enum": [*ROLES, *STAND_INS]},
        "content": {"anyOf": [FILLED, list_of(part, minItems=1)]},
        **{name: neutral_schema(()) for name in UNSAID},
    }
    request = {
        "messages": list_of(closed(message, optional=UNSAID), minItems=1),
        "response_format": nullable({"type": "object"}),
        "max_completion_tokens": _count(),
        "logprobs": nullable({"type": "boolean"}),
        "top_logprobs": _top(),
        **_described_options(),
    }
    said = closed({"role": TEXT, "content": TEXT, "refusal": nullable(TEXT)})
    return Described(
        "chat",
        "Go on with a conversation, as in the API of OpenAI",
        needing(request, "messages"),
        _described_answer({"message": said}),
        EVENT,
        "Also under `/openai/v1`. Any `model` is taken where one is served. With `stream`, events end with `[DONE]`.",
    )


def completions(about: About) -> Described | None:
    """Completions."""
    if about.model.task != "text-generation":
        return None
    prompt = {"anyOf": [TEXT, list_of(TEXT, minItems=1)]}
    request = {"prompt": prompt, "logprobs": _top(), **_described_options()}
    return Described(
        "completions",
        "Go on with texts, as in the API of OpenAI",
        needing(request, "prompt"),
        _described_answer({"text": TEXT}),
        EVENT,
        "Also under `/openai/v1`. With `stream`, events end with `[DONE]`.",
    )


def _described_options() -> Schema:
    switches = {name: {"type": "boolean"} for name in ("include_usage", "include_obfuscation")}
    return {
        "model": nullable(TEXT),
        "max_tokens": _count(),
        **SAMPLING,
        "n": nullable({"type": "integer", "minimum": 1, "maximum": MOST_CHOICES}),
        "stop": nullable({"anyOf": [FILLED, list_of(FILLED)]}),
        "seed": nullable({"type": "integer", "minimum": 0}),
        "stream": nullable({"type": "boolean"}),
        "stream_options": nullable(closed(switches, optional=tuple(switches))),
        **{name: neutral_schema(legal) for name, legal in NEUTRAL.items()},
    }


def _described_answer(said: Schema) -> Schema:
    number: Schema = {"type": "integer"}
    choice = {"index": number, **said, "logprobs": nullable({"type": "object"}), "finish_reason": TEXT}
    counted = closed(dict.fromkeys(usage(0, 0), number))
    answer = {"id": TEXT, "object": TEXT, "created": number, "model": TEXT, "choices": list_of(closed(choice))}
    return closed({**answer, "usage": counted})


def _top() -> Schema:
    return nullable({"type": "integer", "minimum": 0, "maximum": MOST_TOP})


def _count() -> Schema:
    return nullable({"type": "integer", "minimum": 1})
