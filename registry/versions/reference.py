"""References: how people and programs name a version.

`reviews` and `reviews@latest` (the highest number), `reviews@production`, `reviews:7`, `reviews@sha256:...`, and
MLflow's `models:/reviews/7`, `models:/reviews@production`, `models:/reviews/latest`.

A digest may be that of several versions with equal bytes. It then means the one that an alias points at, so that it
never names a version which nobody has promoted, and else the lowest, which no later version changes.
"""

import re
from dataclasses import dataclass

from tunewright.registry.address import shown_address
from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import aliases, held, last_move
from tunewright.registry.versions.latest import latest
from tunewright.registry.versions.layout import LATEST, check_alias, check_digest, check_name, versions_prefix
from tunewright.registry.versions.record import (
    Version,
    no_model,
    no_version,
    numbers_given,
    read_version,
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


def resolve(store: Store, asked: str | Version) -> Version:
    """The version a reference means now; one that was resolved before is itself, and nothing is asked.

    Raises BadReference, NotFound, CorruptObject.
    """
    if isinstance(asked, Version):
        return asked
    reference = parse(asked)
    if reference.digest:
        return _by_digest(store, reference.name, reference.digest)
    if reference.alias:
        return held(store, last_move(store, reference.name, reference.alias))
    if reference.number is None:
        return latest(store, reference.name).version
    try:
        return read_version(store, reference.name, reference.number)
    except NotFound:
        raise no_version(store, reference.name, reference.number) from None


def _parse_mlflow(text: str) -> Reference:
    name, slash, number = text.removeprefix("models:").removeprefix("/").partition("/")
    if not text.startswith("models:/") or name == "":
        raise BadReference(f"{text!r} is not a reference; expected {_SHAPES}")
    if "@" in name and not slash:
        return _at(check_name(name.partition("@")[0]), name.partition("@")[2], text)
    if not slash or number == LATEST:
        return Reference(check_name(name))
    return _numbered(check_name(name), number, text)


def name_and_alias(text: str) -> tuple[str, str]:
    """What `name@alias` says. Raises BadReference for everything else."""
    reference = parse(text)
    if reference.alias is None:
        raise BadReference(f"{text!r} names no alias; expected name@alias, as in reviews@production")
    return reference.name, reference.alias


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
    there, deleted = numbers_given(store, name, store.list(versions_prefix(name)))
    if not there:
        raise no_model(store, name)
    pointed_at = sorted(set(aliases(store, name).values()))
    faults = []
    for number in dict.fromkeys([*pointed_at, *(number for number in there if number not in deleted), *there]):
        try:
            version = read_version(store, name, number)
        except (CorruptObject, NotFound) as error:  # what is wrong with another version is no matter of this one
            faults.append(str(error))
            continue
        if version.digest == digest:
            return version
    if faults:
        raise CorruptObject(f"no version of {name!r} that can be read has the digest {digest}, and {faults[0]}")
    raise NotFound(f"no version of {name!r} in {store.uri} has the digest {digest}; it has {len(there)} versions")
