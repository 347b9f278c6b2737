"""What a caller sends, checked: inputs and parameters of the Hugging Face task JSON."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from tunewright.serving.errors import InputError, Malformed
from tunewright.serving.text.cleaning import legible
from tunewright.serving.text.encoding import Text

Model = TypeVar("Model", bound=BaseModel)

_KEYS = ("inputs", "parameters", "options")
OPTIONS = ("use_cache", "wait_for_model", "use_gpu")
"""What older clients of the hub ask of its queue. There is none here: each holds already, or changes no answer."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON spells half a character; a pair of halves too."""
_MOST_ITEMS = 1_000
_MOST_CHARACTERS = 16_384
"""Bounds of all lists, and of all texts, within the parameters of one request."""
_SHOWN = 60
"""Characters of a caller's value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Request:
    """`{"inputs": ..., "parameters": {...}}`, not yet read by the task."""

    inputs: Any
    parameters: Mapping[str, Any]


def read_request(body: bytes, *, beside: Collection[str] = ()) -> Request:
    """The body of a request; Malformed when it is not a JSON object, InputError for a wrong key.

    `beside`: parameters that may also stand beside `inputs`, as text-embeddings-inference and its clients have them.
    """
    content = _read_json(body)
    if not isinstance(content, dict):
        raise Malformed(f'the body is {_kind(content)}; send an object: {{"inputs": ...}}')
    for key in content:
        if key not in _KEYS and key not in beside:
            raise InputError(f"unknown key {shown(key)}; a request has: {', '.join((*_KEYS[:2], *beside))}")
    if "inputs" not in content:
        raise InputError("'inputs' is missing: send {\"inputs\": ...}")
    parameters = {} if content.get("parameters") is None else content["parameters"]
    if not isinstance(parameters, dict):
        raise InputError(f"'parameters' is {shown(parameters)}; send an object")
    if twice := next((name for name in beside if name in content and name in parameters), None):
        raise InputError(f"parameter {shown(twice)} stands beside 'inputs' and in 'parameters'; send it once")
    parameters = {**parameters, **{name: content[name] for name in beside if name in content}}
    _check_parameters(parameters)
    _check_options(content.get("options"))
    return Request(content["inputs"], parameters)


def read_texts(inputs: Any, *, pair: bool) -> tuple[list[Text], bool]:
    """The texts of `inputs` and whether they came as a list, which is then answered by a list.

    One text is a string or `{"text": ...}`; one pair is `{"text": ..., "text_pair": ...}` or a list of two strings.
    """
    if isinstance(inputs, list) and not (pair and _is_pair(inputs)):
        if not inputs:
            raise InputError("'inputs' is an empty list: send at least one text")
        return [_read_text(item, pair=pair, place=f"inputs[{index}]") for index, item in enumerate(inputs)], True
    return [_read_text(inputs, pair=pair, place="inputs")], False


def longest_text(inputs: Iterable[Any]) -> int:
    """Characters of the longest of checked inputs; the two texts of a pair count separately."""
    return max((_length(part) for one in inputs for part in _parts(one)), default=0)


def read_parameters(kind: type[Model], parameters: Mapping[str, Any], task: str) -> Model:
    """Validate the parameters, or InputError with the parameter, its value and those that are known."""
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        fault: Any = error.errors(include_url=False)[0]
        name = shown(".".join(str(part) for part in fault["loc"]))
        if fault["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields) or "none"
            raise InputError(f"unknown parameter {name}; {task} knows: {known}") from error
        raise InputError(f"parameter {name} is {shown(fault['input'])}: {fault['msg']}") from error


def shown(item: Any) -> str:
    """A caller's value as an error message repeats it: quoted, printable, short."""
    text = repr(item)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _parts(one: Any) -> Iterable[Any]:
    """What of an input is a text of its own: each of a pair's; words and messages are one text together."""
    if isinstance(one, Mapping):
        return one.values()
    return one if isinstance(one, tuple) and all(isinstance(part, str) for part in one) else (one,)


def _length(part: Any) -> int:
    """Characters of all texts in a part, and one more for each item of a list: an empty word is work too."""
    if isinstance(part, str):
        return len(part)
    if isinstance(part, Mapping):
        return sum(map(_length, part.values()))
    return sum(map(_length, part)) + len(part) if isinstance(part, list | tuple) else 0


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    """Bound what each token of an answer may be compared with, whatever task knows the parameter."""
    for name, value in parameters.items():
        if isinstance(value, list | dict) and len(value) > _MOST_ITEMS:
            raise InputError(f"parameter {shown(name)} has {len(value)} items; at most {_MOST_ITEMS}")
        if (size := _length(value)) > _MOST_CHARACTERS:
            raise InputError(f"parameter {shown(name)} has {size} characters; at most {_MOST_CHARACTERS}")


def _check_options(options: Any) -> None:
    """`options` of the hub's older clients are without effect, so only those that change no answer may be there."""
    if options is not None and not isinstance(options, dict):
        raise InputError(f"'options' is {shown(options)}; send an object, or leave it out")
    for name in options or {}:
        if name not in OPTIONS:
            raise InputError(f"unknown option {shown(name)}; accepted, without effect: {', '.join(OPTIONS)}")


def _read_json(body: bytes) -> Any:
    try:
        content = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        return _whole(content) if _HALF.search(body) else content
    except RecursionError as error:
        raise Malformed("the body is not JSON that this server reads: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: byte {error.start} cannot be read") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from error


def _whole(content: Any) -> Any:
    """The content with U+FFFD for each half of a character, in names too: no answer, log or tokenizer can hold one."""
    if isinstance(content, str):
        return legible(content)
    if isinstance(content, list):
        return [_whole(item) for item in content]
    if isinstance(content, dict):
        return {legible(name): _whole(value) for name, value in content.items()}
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _kind(content: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(content), "a number")


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _read_text(item: Any, *, pair: bool, place: str) -> Text:
    match item:
        case str() if not pair:
            return item
        case {"text": str(text), **rest} if not pair and not rest:
            return text
        case [str(first), str(second)] if pair:
            return first, second
        case {"text": str(first), "text_pair": str(second), **rest} if pair and not rest:
            return first, second
    raise InputError(f"{place} is {shown(item)}; this model reads {_wanted(pair)}")


def _wanted(pair: bool) -> str:
    if pair:
        return 'a pair of texts: {"text": ..., "text_pair": ...}, or a list of such'
    return 'a string or {"text": ...}, or a list of such'
