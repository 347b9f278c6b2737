"""References: how people and programs name a version.

`reviews` and `reviews@latest` (the highest number), `reviews@production`, `reviews:7`, `reviews@sha256:...`, and
MLflow's `models:/reviews/7`, `models:/reviews@production`, `models:/reviews/latest`.
"""

import re
from dataclasses import dataclass

from tunewright.registry.address import shown_address
from tunewright.registry.errors import BadReference, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import current
from tunewright.registry.versions.layout import LATEST, check_alias, check_digest, check_name
from tunewright.registry.versions.record import (
    Version,
    latest_number,
    no_model,
    no_version,
    read_version,
    version_numbers,
)

_SHAPES = "name, name:7, name@alias, name@sha256:..., models:/name/7 or models:/name@alias"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Reference:
    """A name and at most one of the three; with none of them it means the latest version."""

    name: str
    alias: str | None = None
    number: int | None = None
    digest: str | None = None  # of the manifest

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.name}:{self.number}"
        return f"{self.name}@{self.digest or self.alias or LATEST}"


def parse(text: str) -> Reference:
    """The reference in a text. Raises BadReference."""
    if "://" in text:
        raise BadReference(f"{shown_address(text)!r} is an address, not a reference; expected {_SHAPES}")
    if text.startswith("models:"):
        return _parse_mlflow(text)
    name, at, after = text.partition("@")
    if at:
        return _at(check_name(name), after, text)
    name, colon, number = text.partition(":")
    return _numbered(check_name(name), number, text) if colon else Reference(check_name(name))


def resolve(store: Store, text: str) -> Version:
    """The version a reference means now. Raises BadReference, NotFound, CorruptObject."""
    reference = parse(text)
    if reference.digest:
        return _by_digest(store, reference.name, reference.digest)
    number = reference.number
    if number is None:
        number = (
            current(store, reference.name, reference.alias) if reference.alias else latest_number(store, reference.name)
        )
    try:
        return read_version(store, reference.name, number)
    except NotFound:
        raise no_version(store, reference.name, number) from None


def _parse_mlflow(text: str) -> Reference:
    name, slash, number = text.removeprefix("models:").removeprefix("/").partition("/")
    if not text.startswith("models:/") or name == "":
        raise BadReference(f"{text!r} is not a reference; expected {_SHAPES}")
    if "@" in name and not slash:
        return _at(check_name(name.partition("@")[0]), name.partition("@")[2], text)
    if not slash or number == LATEST:
        return Reference(check_name(name))
    return _numbered(check_name(name), number, text)


def _at(name: str, after: str, text: str) -> Reference:
    if after == LATEST:
        return Reference(name)
    if ":" in after:
        return Reference(name, digest=check_digest(after))
    if not after:
        raise BadReference(f"{text!r} ends where an alias should stand; expected {_SHAPES}")
    return Reference(name, alias=check_alias(after))


def _numbered(name: str, number: str, text: str) -> Reference:
    if not _NUMBER.fullmatch(number):
        raise BadReference(f"{text!r}: {number!r} is not a version number (1, 2, 3 ...); expected {_SHAPES}")
    return Reference(name, number=int(number))


def _by_digest(store: Store, name: str, digest: str) -> Version:
    numbers = version_numbers(store, name)
    if not numbers:
        raise no_model(store, name)
    for number in reversed(numbers):
        version = read_version(store, name, number)
        if version.digest == digest:
            return version
    raise NotFound(f"no version of {name!r} in {store.uri} has the digest {digest}; it has {len(numbers)} versions")
