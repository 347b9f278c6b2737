"""Chats and completions in the API of OpenAI."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunewright.serving.errors import InputError, NotFound, shown
from tunewright.serving.generation.detokenizer import Piece, first_stop
from tunewright.serving.generation.sequences import FINISH
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Ended, Service
from tunewright.serving.protocols.plain import (
    body_object,
    checked,
    chosen,
    json_reply,
    neutral_schema,
    take_neutral,
    tokens,
)
from tunewright.serving.protocols.protocol import EVENT, About, Asked, Call, Described, Fault, Reply, event
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.request import Request
from tunewright.serving.request.schema import FILLED, TEXT, Schema, closed, list_of, nullable

_OF_CHAT = ("messages", "response_format", "max_completion_tokens", "logprobs", "top_logprobs")
_READ = ("model", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "stream", "stream_options")
_NEUTRAL: Mapping[str, Sequence[object] | None] = {
    "user": None,
    "metadata": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
}
"""What else the API has, and the values besides null that ask for nothing here; None: any."""
ROLES = ("system", "user", "assistant")
_ROLES = {"developer": "system"}
"""Roles that stand for others."""
_UNSAID = ("name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio", "annotations")
"""What a message may have besides, as long as it is null."""
_MOST_CHOICES = 16
_MOST_TOP = 20
_REASONS = {FINISH["eos"]: "stop", FINISH["stop"]: "stop", FINISH["length"]: "length"}

Kind = Literal["chat.completion", "text_completion"]
Told = tuple[tuple[str, float], list[tuple[str, float]]]
"""A token with its log-probability, and those of the likeliest at its place."""


def chat(models: Models, call: Call) -> Asked:
    """POST /v1/chat/completions: a conversation gone on with."""
    content = body_object(call)
    service = _writer(models, content)
    messages, form = content.pop("messages", None), content.pop("response_format", None)
    most = content.pop("max_completion_tokens", None)
    if not isinstance(messages, list):
        raise InputError(f'\'messages\' is {shown(messages)}; send a list of {{"role": ..., "content": ...}}')
    conversation = [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    if most is not None and content.get("max_tokens") not in (None, most):
        raise InputError("'max_tokens' and 'max_completion_tokens' say the same; send one of them")
    content = content if most is None else content | {"max_tokens": most}
    told = _chat_logprobs(content.pop("logprobs", None), content.pop("top_logprobs", None))
    options = _options(
        content, ("messages", "response_format", "max_completion_tokens", "logprobs", "top_logprobs"), told
    )
    parameters = _parameters(service, content, told) | _grammar(service, form)
    return _asked("chat.completion", service, [{"messages": conversation}], parameters, options)


def completions(models: Models, call: Call) -> Asked:
    """POST /v1/completions: texts gone on with."""
    content = body_object(call)
    service = _writer(models, content)
    prompt = content.pop("prompt", None)
    if not isinstance(prompt, str | list) or not prompt or not all(isinstance(one, str) for one in prompt):
        raise InputError(f"'prompt' is {shown(prompt)}; send a text or a list of texts, not tokens")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    told = content.pop("logprobs", None)
    if told is not None and (not isinstance(told, int) or isinstance(told, bool) or not 0 <= told <= _MOST_TOP):
        raise InputError(f"'logprobs' is {shown(told)}; send a number from 0 to {_MOST_TOP}")
    options = _options(content, ("prompt", "logprobs"), told)
    return _asked("text_completion", service, prompts, _parameters(service, content, told), options)


@dataclass(frozen=True, slots=True)
class _Options:
    """What is not for the model."""

    choices: int
    """Answers to each prompt."""
    stream: bool
    tells_usage: bool
    top: int | None
    """How many of the likeliest tokens are told beside each; None: no token is told."""


def _writer(models: Models, content: dict[str, object]) -> Service:
    service = chosen(models, content.get("model"))
    if service.predictor.model.task != "text-generation":
        raise NotFound(f"{service} is for {service.predictor.model.task}: it goes on with no texts")
    return service


def _message(message: object, place: str) -> dict[str, object]:
    """A message as the task reads it: a text for the content."""
    if not isinstance(message, dict):
        raise InputError(f'{place} is {shown(message)}; send {{"role": ..., "content": ...}}')
    kept = {name: value for name, value in message.items() if value is not None or name not in _UNSAID}
    role = kept.get("role")
    if isinstance(role, str):
        kept["role"] = _ROLES.get(role, role)
    if isinstance(parts := kept.get("content"), list):
        kept["content"] = "".join(_part(part, f"{place}.content[{index}]") for index, part in enumerate(parts))
    return kept


def _part(part: object, place: str) -> str:
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return text
    raise InputError(f'{place} is {shown(part)}; this server reads {{"type": "text", "text": ...}}')


def _chat_logprobs(asked: object, top: object) -> int | None:
    """How many of the likeliest tokens a chat is to tell beside each; None: it tells of none."""
    if not isinstance(asked, bool | None):
        raise InputError(f"'logprobs' is {shown(asked)}; send true or false")
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or not 0 <= top <= _MOST_TOP):
        raise InputError(f"'top_logprobs' is {shown(top)}; send a number from 0 to {_MOST_TOP}")
    if top and not asked:
        raise InputError("'top_logprobs' counts only with 'logprobs': true")
    return int(top or 0) if asked else None


def _options(content: dict[str, object], read: tuple[str, ...], top: int | None) -> _Options:
    """Check what is known by name, and read what is not for the model."""
    beside = {name: value for name, value in content.items() if name not in _READ}
    take_neutral(beside, _NEUTRAL, (*read, *_READ))
    choices = 1 if content.get("n") is None else content["n"]
    if not isinstance(choices, int) or isinstance(choices, bool) or not 1 <= choices <= _MOST_CHOICES:
        raise InputError(f"'n' is {shown(choices)}; send a number from 1 to {_MOST_CHOICES}")
    streaming, told = content.get("stream") or False, content.get("stream_options") or {}
    if not isinstance(streaming, bool):
        raise InputError(f"'stream' is {shown(streaming)}; send true or false")
    switches = {"include_usage", "include_obfuscation"}
    if not isinstance(told, dict) or set(told) - switches or not all(isinstance(one, bool) for one in told.values()):
        raise InputError(f"'stream_options' is {shown(told)}; send {{\"include_usage\": true}}")
    if told and not streaming:
        raise InputError("'stream_options' counts only with 'stream': true")
    return _Options(choices, streaming, bool(told.get("include_usage")), top)


def _parameters(service: Service, content: Mapping[str, object], top: int | None) -> dict[str, object]:
    """What the task knows under its own names."""
    names = {"max_tokens": "max_new_tokens", "stop": "stop_strings"}
    found = {mine: content[name] for name, mine in names.items() if content.get(name) is not None}
    asked = _only(content, ("temperature", "top_p"))
    if asked.get("temperature") == 0:
        # What says how tokens are drawn must be right, though none is.
        check_parameters(GenerationSettings, _only(content, ("top_p",)), service.predictor.model.task)
        found["do_sample"] = False
    elif asked:
        found |= {"do_sample": True, "num_beams": 1, **asked}
    task, model = service.predictor.task, service.predictor.model
    check_parameters(GenerationSettings, _only(content, ("seed",)), model.task)
    # Without sampling every seed gives the same answer.
    if content.get("seed") is not None and found.get("do_sample", task.read_parameters({}, model).do_sample):
        found["seed"] = content["seed"]
    fixed = {"return_full_text": False, "clean_up_tokenization_spaces": False, "details": True}
    return found | fixed | ({"top_n_tokens": top} if top else {})


def _only(content: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    return {name: content[name] for name in names if content.get(name) is not None}


def _grammar(service: Service, form: object) -> dict[str, object]:
    """What an answer must look like, as the task's `grammar`."""
    match form:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            grammar: dict[str, object] = {"type": "json", "value": schema}
        case {"type": "json_object" | "json", **rest} if not set(rest) - {"value"}:
            grammar = {"type": "json", "value": rest.get("value", {"type": "object"})}
        case {"type": "regex", "value": str(pattern)}:
            grammar = {"type": "regex", "value": pattern}
        case _:
            legal = '{"type": "json_schema", "json_schema": {"schema": {...}}}, {"type": "json_object"}'
            raise InputError(f'\'response_format\' is {shown(form)}; send {legal} or {{"type": "text"}}')
    if "grammar" not in service.shapes.parameters["properties"]:
        raise InputError(f"'response_format' is {shown(form)}; this server cannot hold an answer to a form")
    return {"grammar": grammar}


def _asked(
    kind: Kind, service: Service, prompts: Sequence[object], parameters: Mapping[str, object], options: _Options
) -> Asked:
    inputs = [prompt for prompt in prompts for _ in range(options.choices)]
    request, _ = checked(service, inputs, parameters)
    head = _Head(kind, service.version.name)

    def write(answers: list[object]) -> Reply:
        return json_reply(_completion(head, answers, request, options))

    if not options.stream:
        return Asked(service, request, write)
    if len(inputs) > 1:
        raise InputError("one answer is streamed at a time: send one prompt, and no 'n' above 1")
    return Asked(service, request, write, _Chunks(head, service, request, options))


class _Head:
    """What every part of an answer begins with."""

    def __init__(self, kind: Kind, model: str) -> None:
        self.kind = kind
        prefix = "chatcmpl" if kind == "chat.completion" else "cmpl"
        self._same = {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def of(self, *, chunk: bool = False) -> dict[str, object]:
        is_chunk = chunk and self.kind == "chat.completion"
        return {"object": f"{self.kind}.chunk" if is_chunk else self.kind, **self._same}

    def choice(
        self, index: int, text: str, reason: str | None, *, tokens: Sequence[Told] | None = None, chunk: bool = False
    ) -> dict[str, object]:
        """One of the answers, or a piece of it. `tokens`: what it is made of, where that is told."""
        logprobs = _logprobs_of(self.kind, tokens) if tokens else None
        end: dict[str, object] = {"logprobs": logprobs, "finish_reason": reason}
        if self.kind == "text_completion":
            return {"index": index, "text": text, **end}
        if chunk:
            return {"index": index, "delta": {"content": text} if text or not reason else {}, **end}
        return {"index": index, "message": {"role": "assistant", "content": text, "refusal": None}, **end}


def _completion(head: _Head, answers: Sequence[object], request: Request, options: _Options) -> dict[str, object]:
    assert isinstance(request.parameters, GenerationSettings)
    told, read, wrote = [], 0, 0
    for index, answer in enumerate(answers):
        assert isinstance(answer, list)
        text, details = answer[0]["generated_text"], answer[0]["details"]
        text = text[: first_stop(text, request.parameters.stops)]
        tokens = None if options.top is None else _told(details["tokens"], details.get("top_tokens"))
        told.append(head.choice(index, text, _REASONS[details["finish_reason"]], tokens=tokens))
        read += details["input_length"] if index % options.choices == 0 else 0
        wrote += details["generated_tokens"]
    return {**head.of(), "choices": told, "usage": _usage(read, wrote)}


def _told(tokens: Sequence[Mapping[str, Any]], top: Sequence[Sequence[Mapping[str, Any]]] | None) -> list[Told]:
    """The tokens of an answer's details that have a text, each with the likeliest at its place."""
    beside = top or [()] * len(tokens)
    pairs = zip(tokens, beside, strict=True)
    return [
        ((token["text"], token["logprob"]), [(one["text"], one["logprob"]) for one in others])
        for token, others in pairs
        if not token["special"]
    ]


def _logprobs_of(kind: Kind, tokens: Sequence[Told]) -> dict[str, object]:
    """Tokens with their log-probabilities."""
    if kind == "text_completion":
        lengths = [len(text) for (text, _), _ in tokens]
        return {
            "tokens": [text for (text, _), _ in tokens],
            "token_logprobs": [logprob for (_, logprob), _ in tokens],
            "top_logprobs": [dict(top) for _, top in tokens],
            "text_offset": [sum(lengths[:index]) for index in range(len(lengths))],
        }
    content = [{**_chosen(token), "top_logprobs": [_chosen(one) for one in top]} for token, top in tokens]
    return {"content": content, "refusal": None}


def _chosen(token: tuple[str, float]) -> dict[str, object]:
    text, logprob = token
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _usage(read: int, wrote: int) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


class _Chunks:
    """An answer while it is written."""

    def __init__(self, head: _Head, service: Service, request: Request, options: _Options) -> None:
        self._head, self._service, self._request, self._options = head, service, request, options
        self._is_begun = False
        self._count = 0
        """Tokens that are written."""

    def piece(self, piece: str) -> bytes:
        """What comes next."""
        begun = self._begun()
        told: list[Told] = []
        if isinstance(piece, Piece):
            self._count += len(piece.ids)
            told = [
                ((token.text, token.logprob), [(one.text, one.logprob) for one in token.top])
                for token in piece.tokens
                if not token.special
            ]
        tokens = None if self._options.top is None else told
        return begun + (
            self._chunk([self._head.choice(0, str(piece), None, tokens=tokens, chunk=True)]) if piece else b""
        )

    def end(self, ended: Ended) -> bytes:
        """That is all: why, how much it was, and the mark of the end."""
        reason = _REASONS[FINISH[ended.finish]]
        sent = self._begun() + self._chunk([self._head.choice(0, "", reason, chunk=True)])
        if self._options.tells_usage:
            sent += self._chunk([], _usage(tokens(self._service, self._request), self._count))
        return sent + event(b"[DONE]")

    def fault(self, fault: Fault) -> bytes:
        """It breaks off here."""
        return event(to_json({"error": {"message": fault.sentence, "type": "server_error", "code": fault.kind}}))

    def _begun(self) -> bytes:
        """Before the first piece of a chat, whose it is."""
        if self._is_begun or self._head.kind == "text_completion":
            return b""
        self._is_begun = True
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return self._chunk([first])

    def _chunk(self, choices: Sequence[object], usage: object = None) -> bytes:
        told = {"usage": usage} if self._options.tells_usage else {}
        return event(to_json({**self._head.of(chunk=True), "choices": choices, **told}))


def described_chat(about: About) -> Described | None:
    """What `chat` is asked and answers."""
    if about.model.task != "text-generation":
        return None
    part = closed({"type": {**TEXT, "enum": ["text"]}, "text": TEXT})
    message: Schema = {
        "role": {**TEXT, "enum": [*ROLES, *_ROLES]},
        "content": {"anyOf": [FILLED, list_of(part, minItems=1)]},
        **{name: {"enum": [None], "nullable": True} for name in _UNSAID},
    }
    request = {
        "messages": list_of(closed(message, optional=_UNSAID), minItems=1),
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
        closed(request, optional=tuple(name for name in request if name != "messages")),
        _described_answer({"message": said}),
        EVENT,
        "Also under `/openai/v1`. Any `model` is taken where one is served. With `stream`, events end with `[DONE]`.",
    )


def described_completions(about: About) -> Described | None:
    """What `completions` is asked and answers."""
    if about.model.task != "text-generation":
        return None
    prompt = {"anyOf": [FILLED, list_of(TEXT, minItems=1)]}
    request = {"prompt": prompt, "logprobs": _top(), **_described_options()}
    return Described(
        "completions",
        "Go on with texts, as in the API of OpenAI",
        closed(request, optional=tuple(name for name in request if name != "prompt")),
        _described_answer({"text": TEXT}),
        EVENT,
        "Also under `/openai/v1`. With `stream`, events end with `[DONE]`.",
    )


def _described_options() -> Schema:
    switches = {name: {"type": "boolean"} for name in ("include_usage", "include_obfuscation")}
    return {
        "model": nullable(TEXT),
        "max_tokens": _count(),
        "temperature": nullable({"type": "number", "minimum": 0, "maximum": 1000}),
        "top_p": nullable({"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1}),
        "n": nullable({"type": "integer", "minimum": 1, "maximum": _MOST_CHOICES}),
        "stop": nullable({"anyOf": [FILLED, list_of(FILLED)]}),
        "seed": nullable({"type": "integer", "minimum": 0}),
        "stream": nullable({"type": "boolean"}),
        "stream_options": nullable(closed(switches, optional=tuple(switches))),
        **{name: neutral_schema(legal) for name, legal in _NEUTRAL.items()},
    }


def _described_answer(said: Schema) -> Schema:
    number: Schema = {"type": "integer"}
    choice = {"index": number, **said, "logprobs": nullable({"type": "object"}), "finish_reason": TEXT}
    usage = closed(dict.fromkeys(_usage(0, 0), number))
    answer = {"id": TEXT, "object": TEXT, "created": number, "model": TEXT, "choices": list_of(closed(choice))}
    return closed({**answer, "usage": usage})


def _top() -> Schema:
    return nullable({"type": "integer", "minimum": 0, "maximum": _MOST_TOP})


def _count() -> Schema:
    return nullable({"type": "integer", "minimum": 1})
