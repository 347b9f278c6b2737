"""A version's record: the small object whose existence is the version's existence."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import (
    MODELS,
    Digest,
    Name,
    Number,
    RunId,
    Time,
    is_name,
    version_key,
    versions_prefix,
)
from tunewright.registry.versions.numbered import EXACT, FORMAT, OnFault, nobody, numbers, read_record, stranger

REPORT = "report/report.html"
"""The page that a job puts into a version."""


@dataclass(frozen=True)
class Version:
    """An immutable version of a model."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    number: Number  # 1, 2, 3 ...
    digest: Digest  # of the manifest: sha256:...
    run_id: RunId
    created: Time  # UTC, as in 2026-01-31T12:00:00Z
    size: Annotated[int, Field(strict=True, ge=0, lt=1 << 62)]  # bytes of all files together

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"


_VERSION = TypeAdapter(Version)


def to_bytes(version: Version) -> bytes:
    """The record as it is stored."""
    return seal({"format": FORMAT, **asdict(version)})


def read_version(store: Store, name: str, number: int) -> Version:
    """The record of one version. Raises NotFound, CorruptObject."""
    key = version_key(name, number)
    version = read_record(store, key, _VERSION, "a version's record")
    if (version.name, version.number) != (name, number):
        raise CorruptObject(f"{key!r} in {store.uri} is the record of {version}, which does not belong there")
    return version


def version_numbers(store: Store, name: str, *, on_fault: OnFault = nobody) -> list[int]:
    """The numbers of a model's versions, ascending; empty when there is no such model."""
    return list(
        numbers(store, versions_prefix(name), lambda number: read_version(store, name, number), on_fault=on_fault)
    )


def latest_number(store: Store, name: str) -> int:
    """The highest version of a model. Raises NotFound, listing the models there are."""
    numbers = version_numbers(store, name)
    if not numbers:
        raise no_model(store, name)
    return numbers[-1]


def model_names(store: Store, *, on_fault: OnFault = nobody) -> list[str]:
    """Every model that has an object where versions lie."""
    names = set()
    for stat in store.list(MODELS):
        parts = stat.key.split("/")
        if len(parts) < 4 or not is_name(parts[1]) or parts[2] not in ("versions", "runs", "aliases", "canaries"):
            on_fault(stranger(store, stat.key))
        elif parts[2] == "versions":
            names.add(parts[1])
    return sorted(names)


def no_model(store: Store, name: str) -> NotFound:
    """The error for a model without versions."""
    names = model_names(store)
    there = f"there are {', '.join(names[:20])}" if names else "it holds no models yet"
    return NotFound(f"there is no model {name!r} in {store.uri}; {there}")


def no_version(store: Store, name: str, number: int) -> NotFound:
    """The error for a version that is not there."""
    numbers = version_numbers(store, name)
    if not numbers:
        return no_model(store, name)
    span = f"1 to {numbers[-1]}" if numbers == list(range(1, len(numbers) + 1)) else ", ".join(map(str, numbers[-20:]))
    return NotFound(f"there is no version {number} of {name!r} in {store.uri}; there is {span}")


def check_version(store: Store, name: str, number: int) -> None:
    """That a version is there. Raises NotFound, which tells what is."""
    try:
        read_version(store, name, number)
    except NotFound:
        raise no_version(store, name, number) from None


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
