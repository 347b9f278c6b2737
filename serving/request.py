"""What a caller sends, checked: inputs and parameters of the Hugging Face task JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from serving.encoding import Text
from serving.errors import InputError, Malformed

Model = TypeVar("Model", bound=BaseModel)

_KEYS = ("inputs", "parameters")
_SHOWN = 60
"""Characters of a caller's value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Request:
    """`{"inputs": ..., "parameters": {...}}`, not yet read by the task."""

    inputs: Any
    parameters: Mapping[str, Any]


def read_request(body: bytes) -> Request:
    """The body of a request; Malformed when it is not a JSON object, InputError for a wrong key."""
    content = _read_json(body)
    if not isinstance(content, dict):
        raise Malformed(f'the body is {_kind(content)}; send an object: {{"inputs": ...}}')
    for key in content:
        if key not in _KEYS:
            raise InputError(f"unknown key {shown(key)}; a request has: {', '.join(_KEYS)}")
    if "inputs" not in content:
        raise InputError("'inputs' is missing: send {\"inputs\": ...}")
    parameters = content.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InputError(f"'parameters' is {shown(parameters)}; send an object")
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


def longest_text(inputs: Any) -> int:
    """Characters of the longest text anywhere in checked inputs; the two texts of a pair count separately."""
    if isinstance(inputs, str):
        return len(inputs)
    if isinstance(inputs, Mapping):
        inputs = inputs.values()
    elif not isinstance(inputs, list | tuple):
        return 0
    return max(map(longest_text, inputs), default=0)


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


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Malformed("the body is not JSON that this server reads: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: byte {error.start} cannot be read") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from error


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
