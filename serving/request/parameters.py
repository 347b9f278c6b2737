"""The parameters of a request, checked."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tunewright.serving.errors import InputError, shown
from tunewright.serving.request.texts import characters

Model = TypeVar("Model", bound=BaseModel)

_MOST_ITEMS = 1_000
_MOST_CHARACTERS = 16_384
"""Bounds of all lists, and of all texts, within the parameters of one request."""


def check_sizes(parameters: Mapping[str, object]) -> None:
    """Bound what each token of an answer may be compared with, whatever task knows the parameter."""
    for name, value in parameters.items():
        if isinstance(value, list | dict) and len(value) > _MOST_ITEMS:
            raise InputError(f"parameter {shown(name)} has {len(value)} items; at most {_MOST_ITEMS}")
        if (size := characters(value)) > _MOST_CHARACTERS:
            raise InputError(f"parameter {shown(name)} has {size} characters; at most {_MOST_CHARACTERS}")


def check_parameters(kind: type[Model], parameters: Mapping[str, object], task: str) -> Model:
    """Validate the parameters, or InputError with the parameter, its value and those that are known."""
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = shown(".".join(str(part) for part in fault["loc"]))
        if fault["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields) or "none"
            raise InputError(f"unknown parameter {name}; {task} knows: {known}") from error
        raise InputError(f"parameter {name} is {shown(fault['input'])}: {fault['msg']}") from error
