"""What a chat or a completion is asked with: what is for the model under the task's names, and what is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.serving.errors import InputError, shown
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.plain import object_of, switch, take_neutral
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.request import Request

if TYPE_CHECKING:
    from tunewright.serving.generation.settings import GenerationSettings

_READ = ("model", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "stream", "stream_options")
_SWITCHES = ("include_usage", "include_obfuscation")
NEUTRAL: Mapping[str, Sequence[object] | None] = {
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
MOST_CHOICES = 16
MOST_TOP = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What is not for the model."""

    choices: int
    """Answers to each prompt."""
    stream: bool
    tells_usage: bool
    top: int | None
    """How many of the likeliest tokens are told beside each; None: no token is told."""


def chat_logprobs(asked: object, top: object) -> int | None:
    """How many of the likeliest tokens a chat is to tell beside each; None: it tells of none."""
    asked = switch({"logprobs": asked}, "logprobs")
    count = _number("top_logprobs", top, 0, MOST_TOP)
    if count and not asked:
        raise InputError("'top_logprobs' counts only with 'logprobs': true")
    return count or 0 if asked else None


def completion_logprobs(asked: object) -> int | None:
    """The same of a completion, which says it in one number."""
    return _number("logprobs", asked, 0, MOST_TOP)


def read_options(content: Mapping[str, object], read: Sequence[str], top: int | None) -> Options:
    """Check what is known by name, and read what is not for the model. `read`: names that are read elsewhere."""
    beside = {name: value for name, value in content.items() if name not in (*read, *_READ)}
    take_neutral(beside, NEUTRAL, (*read, *_READ))
    choices = _number("n", content.get("n"), 1, MOST_CHOICES)
    streaming = switch(content, "stream")
    told = object_of(content.get("stream_options"), "'stream_options'")
    if set(told) - set(_SWITCHES) or not all(isinstance(one, bool) for one in told.values()):
        raise InputError(f"'stream_options' is {shown(told)}; send {{\"include_usage\": true}}")
    if told and not streaming:
        raise InputError("'stream_options' counts only with 'stream': true")
    return Options(choices or 1, streaming, bool(told.get("include_usage")), top)


def parameters(service: Service, content: Mapping[str, object], top: int | None) -> dict[str, object]:
    """What the task knows under its own names."""
    names = {"max_tokens": "max_new_tokens", "stop": "stop_strings"}
    found = {mine: content[name] for name, mine in names.items() if content.get(name) is not None}
    asked = only(content, ("temperature", "top_p"))
    if asked.get("temperature") == 0 and asked["temperature"] is not False:
        # What says how tokens are drawn must be right, though none is.
        check_parameters(_settings(), only(content, ("top_p",)), service.predictor.model.task)
        found["do_sample"] = False
    elif asked:
        found |= {"do_sample": True, "num_beams": 1, **asked}
    task, model = service.predictor.task, service.predictor.model
    check_parameters(_settings(), only(content, ("seed",)), model.task)
    # Without sampling every seed gives the same answer.
    if content.get("seed") is not None and found.get("do_sample", task.read_parameters({}, model).do_sample):
        found["seed"] = content["seed"]
    fixed = {"return_full_text": False, "clean_up_tokenization_spaces": False, "details": True}
    return found | fixed | ({"top_n_tokens": top} if top else {})


def stops(request: Request) -> Sequence[str]:
    """The texts at which an answer of a model that writes ends."""
    assert isinstance(request.parameters, _settings())
    return request.parameters.stops


def _settings() -> "type[GenerationSettings]":
    # Here, as servers of models that write nothing have these addresses, too, and need not wait for it.
    from tunewright.serving.generation.settings import GenerationSettings

    return GenerationSettings


def only(content: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """Those that are there and not null."""
    return {name: content[name] for name in names if content.get(name) is not None}


def grammar(service: Service, form: object) -> dict[str, object]:
    """What an answer must look like, as the task's `grammar`."""
    match form:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            held: dict[str, object] = {"type": "json", "value": schema}
        case {"type": "json_object" | "json", **rest} if not set(rest) - {"value"}:
            held = {"type": "json", "value": rest.get("value", {"type": "object"})}
        case {"type": "regex", "value": str(pattern)}:
            held = {"type": "regex", "value": pattern}
        case _:
            legal = '{"type": "json_schema", "json_schema": {"schema": {...}}}, {"type": "json_object"}'
            raise InputError(f'\'response_format\' is {shown(form)}; send {legal} or {{"type": "text"}}')
    if "grammar" not in service.shapes.parameters["properties"]:
        raise InputError(f"'response_format' is {shown(form)}; this server cannot hold an answer to a form")
    return {"grammar": held}


def _number(name: str, value: object, least: int, most: int) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= most):
        return value
    raise InputError(f"{name!r} is {shown(value)}; send a number from {least} to {most}")
