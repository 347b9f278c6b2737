"""What protocols share: whom a name means, a request made of plain values, and replies in JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, cast

from tunewright.serving.errors import InputError, Malformed, shown
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.protocol import Call, Reply
from tunewright.serving.request.json_text import kind_of, read_json, to_json
from tunewright.serving.request.parameters import check_sizes
from tunewright.serving.request.request import Request
from tunewright.serving.request.schema import Schema, inputs_of, list_of, nullable, parts_of


def chosen(models: Models, name: object) -> Service:
    """The service that the `model` of a body means: whatever it says where there is but one; NotFound."""
    if name is not None and not isinstance(name, str):
        raise InputError(f"'model' is {shown(name)}; send the name of a model")
    return models.default if len(models.names) == 1 else models.find(name)


def checked(service: Service, inputs: object, parameters: Mapping[str, object]) -> tuple[Request, bool]:
    """What the task reads, and whether the inputs came as a list."""
    task, model = service.predictor.task, service.predictor.model
    check_sizes(parameters)
    read = task.read_parameters(parameters, model)
    found, are_many = task.read_inputs(inputs, model)
    return Request(found, read), are_many


def each_one(service: Service, items: list[object], parameters: Mapping[str, object]) -> Request:
    """The request of a list whose items are an input each; InputError where the task reads one input of all of them."""
    request, are_many = checked(service, items, parameters)
    if not are_many:
        raise InputError(f"{shown(items)} reads as one input; send a list of inputs")
    return request


def _is(value: object, other: object) -> bool:
    """Whether two values are the same in JSON, where true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def neutral_schema(legal: Sequence[object] | None) -> Schema:
    """The schema of what `take_neutral` takes, as near as makers of clients understand it."""
    match legal:
        case None:
            return {}
        case [bool(), *_]:
            kind: Schema = {"type": "boolean"}
        case [int(number)]:
            kind = {"type": "number", "minimum": number, "maximum": number}
        case [str(), *_]:
            kind = {"type": "string", "enum": list(legal)}
        case [list(items)]:
            kind = list_of({"type": "string"}, maxItems=len(items))
        case [dict()]:
            kind = {"type": "object"}
        case _:
            kind = {"type": "string", "maxLength": 0}
    told = " or ".join(to_json(one).decode() for one in [None, *legal])
    return {**nullable(kind), "description": f"Without effect: {told}."}


def parts(service: Service) -> list[str]:
    """What an input is made of, by name."""
    return parts_of(service.shapes.item)


def joined(service: Service, columns: Mapping[str, Sequence[object]]) -> list[object]:
    """Inputs of columns, of which each holds one part."""
    return inputs_of(parts(service), columns)


def object_of(value: object, place: str) -> dict[str, object]:
    """An object that may be left out; InputError for anything else."""
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{place} is {shown(value)}; send an object")
    return value or {}


def switch(content: Mapping[str, object], name: str) -> bool:
    """What is on or off, and off where it is not said."""
    value = content.get(name)
    if not isinstance(value, bool | None):
        raise InputError(f"{name!r} is {shown(value)}; send true or false")
    return bool(value)


def text_of(content: Mapping[str, object], name: str) -> str:
    """One text."""
    text = content.get(name)
    if not isinstance(text, str):
        raise InputError(f"{name!r} is {shown(text)}; send a text")
    return text


def items_of(content: Mapping[str, object], name: str, what: str) -> list[object]:
    """A list, which may be empty. `what`: of what it should be."""
    items = content.get(name)
    if not isinstance(items, list):
        raise InputError(f"{name!r} is {shown(items)}; send a list of {what}")
    return items


def texts_of(content: Mapping[str, object], name: str) -> list[str]:
    """A list of texts, of which there is at least one."""
    texts = content.get(name)
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        raise InputError(f"{name!r} is {shown(texts)}; send a list of texts")
    return texts


def text_or_texts(content: Mapping[str, object], name: str) -> list[str]:
    """The same where one text may come alone."""
    texts = content.get(name)
    if not isinstance(texts, str | list) or texts == [] or not all(isinstance(one, str) for one in texts):
        raise InputError(f"{name!r} is {shown(texts)}; send a text or a list of texts, not tokens")
    return [texts] if isinstance(texts, str) else texts


def refuse_unknown(content: Mapping[str, object], known: Sequence[str], *, beside: Sequence[str] = ()) -> None:
    """InputError for a key that no such request has. `beside`: what is taken, and not worth telling."""
    for name in content:
        if name not in known and name not in beside:
            raise InputError(f"unknown key {shown(name)}; a request has: {', '.join(known)}")


def body_object(call: Call) -> dict[str, object]:
    """The object that a body is; Malformed where it is none."""
    content = read_json(call.body)
    if not isinstance(content, dict):
        raise Malformed(f"the body is {kind_of(content)}; send an object")
    return content


def take_neutral(
    content: Mapping[str, object], neutral: Mapping[str, Sequence[object] | None], read: Sequence[str]
) -> None:
    """InputError for what asks for something that there is not here.

    `neutral`: names, and the values besides null that ask for nothing, None where any does. `read`: names that are
    read elsewhere.
    """
    for name, value in content.items():
        if name not in neutral:
            refuse_unknown({name: value}, read)
        legal = neutral[name]
        if value is not None and legal is not None and not any(_is(value, one) for one in legal):
            said = " or ".join("null" if one is None else to_json(one).decode() for one in [None, *legal])
            raise InputError(f"{name!r} is {shown(value)}; this server has no such thing: send {said}")


class _Tokens(Protocol):
    ids: Sequence[int]


def tokens(service: Service, request: Request) -> int:
    """How many tokens the model reads of the texts of a request."""
    rows = cast("Sequence[_Tokens]", service.predictor.prepare(request.inputs, request.parameters))
    return sum(len(row.ids) for row in rows)


def made_at(service: Service) -> int:
    """When the version was made, in seconds of Unix time."""
    return int(datetime.fromisoformat(service.version.created).timestamp())


def json_reply(content: object) -> Reply:
    """A reply of which JSON is made."""
    return Reply(to_json(content))
