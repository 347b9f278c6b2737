"""What a single setting may be: its type, and a sentence for a value that is none."""

import codecs
import re
from importlib import metadata
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tunewright.registry.versions.layout import LATEST
from tunewright.serving.text.cleaning import clean_label

_Value = TypeVar("_Value")


class Settings(BaseModel):
    """A group of settings."""

    # Labels are often numbers, which YAML reads as such: {0: negative, 1: positive}.
    # Built when a value is first read, so that help does not wait for it.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        defer_build=True,
    )


Fraction = Annotated[float, Field(ge=0, lt=1)]


def _check_sources(sources: str | list[str]) -> str | list[str]:
    # An empty address would be the working directory.
    if not sources or (isinstance(sources, list) and "" in sources):
        raise ValueError("expected a file, glob, folder or a list of these, none of them empty")
    return sources


def check_output(output: object) -> object:
    """Refuse an address that is neither a folder nor a bucket."""
    if isinstance(output, str) and (scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", output)):
        if scheme[0] != "s3://":
            raise ValueError(f"expected a folder of this machine or s3://bucket/prefix, and {scheme[0]} is neither")
        if not re.fullmatch(r"s3://[^/@:\s]+(/[^\s]*)?", output):
            raise ValueError("expected s3://bucket/prefix, without blanks or credentials")
    return output


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", name):
        raise ValueError(
            "expected 1 to 64 lower-case letters, digits, '.', '_' or '-', with a letter or digit at both ends"
        )
    return name


def _check_alias(alias: str) -> str:
    if alias == LATEST:
        raise ValueError("expected a name other than 'latest', which always means the highest version")
    return alias


def _by_clean_label(given: dict[str, _Value]) -> dict[str, _Value]:
    """By labels as data is read; two that look the same must say the same."""
    found: dict[str, _Value] = {}
    for label, value in given.items():
        if found.setdefault(clean_label(label), value) != value:
            raise ValueError(f"names {clean_label(label)!r} twice, in two ways that look the same")
    return found


def _check_delimiter(delimiter: str) -> str:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError("expected one character other than a double quote or a line break")
    return delimiter


def _check_quote(quote: str) -> str:
    if len(quote) != 1 or quote in "\r\n" or quote.isalnum() or quote.isspace():
        raise ValueError("expected one character, such as \" or '")
    return quote


def _check_encoding(name: str) -> str:
    try:
        known = codecs.lookup(name)
        "".encode(name)
    except LookupError as error:
        raise ValueError(
            "expected an encoding of text, such as utf-8, windows-1252, latin-1, utf-16-le, utf-16-be or cp1251"
        ) from error
    return {"cp1252": "windows-1252", "iso8859-1": "latin-1"}.get(known.name, known.name)


def _check_task(name: str) -> str:
    # Imported here, so that help need not wait for every engine.
    from tunewright.serving.tasks import TASKS

    is_taught = name in TASKS.built_in or bool(metadata.entry_points(group="tunewright.tasks", name=name))
    if name not in TASKS and not is_taught:
        raise ValueError(f"expected {', '.join(repr(one) for one in TASKS)}")
    if name not in TASKS or not is_taught:
        has, lacks = ("teaches", "answers") if is_taught else ("answers", "teaches")
        group = "tunewright.answers" if is_taught else "tunewright.tasks"
        raise ValueError(f"an installed package {has} it, and none {lacks} it (entry points {group})")
    return name


TaskName = Annotated[str, AfterValidator(_check_task)]
Sources = Annotated[str | list[str], AfterValidator(_check_sources)]
Name = Annotated[str, AfterValidator(_check_name)]
Alias = Annotated[Name, AfterValidator(_check_alias)]
Delimiter = Annotated[str, AfterValidator(_check_delimiter)]
Quote = Annotated[str, AfterValidator(_check_quote)]
Encoding = Annotated[str, AfterValidator(_check_encoding)]
LabelNames = Annotated[dict[str, Annotated[str, AfterValidator(clean_label)]], AfterValidator(_by_clean_label)]
LabelWeights = Annotated[dict[str, Annotated[float, Field(gt=0)]], AfterValidator(_by_clean_label)]
