"""One input, or a list of them."""

from collections.abc import Callable
from typing import TypeVar

from tunewright.serving.errors import InputError

Input = TypeVar("Input")


def read_several(inputs: object, read: Callable[[object, str], Input], what: str) -> tuple[list[Input], bool]:
    """The inputs of a request, each read with its place, and whether they came as a list.

    `what`: what at least one of is to be sent.
    """
    if not isinstance(inputs, list):
        return [read(inputs, "inputs")], False
    if not inputs:
        raise InputError(f"'inputs' is an empty list: send at least one {what}")
    return [read(item, f"inputs[{index}]") for index, item in enumerate(inputs)], True
