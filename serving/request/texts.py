"""Texts and pairs of texts as callers send them, checked."""

from collections.abc import Mapping

from tunewright.serving.errors import InputError, shown
from tunewright.serving.text.encoding import Text


def read_texts(inputs: object, *, pair: bool) -> tuple[list[Text], bool]:
    """The texts of `inputs` and whether they came as a list, which is then answered by a list.

    One text is a string or `{"text": ...}`; one pair is `{"text": ..., "text_pair": ...}` or a list of two strings.
    """
    if isinstance(inputs, list) and not (pair and _is_pair(inputs)):
        if not inputs:
            raise InputError("'inputs' is an empty list: send at least one text")
        return [_read_text(item, pair=pair, place=f"inputs[{index}]") for index, item in enumerate(inputs)], True
    return [_read_text(inputs, pair=pair, place="inputs")], False


def characters(value: object) -> int:
    """Characters of all texts in a value, and one more for each item of a list: an empty word is work too."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(characters, value.values()))
    return sum(map(characters, value)) + len(value) if isinstance(value, list | tuple) else 0


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _read_text(item: object, *, pair: bool, place: str) -> Text:
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
