"""A version's record: the small object whose existence is the version's existence."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from registry.document import seal, unseal
from registry.errors import BadReference, CorruptObject, NotFound
from registry.layout import MODELS, check_digest, number_in, version_key, versions_prefix
from registry.store import Store

FORMAT = 1
_LARGEST = 64 * 1024  # bytes of one record


@dataclass(frozen=True)
class Version:
    """An immutable version of a model."""

    name: str
    number: int  # 1, 2, 3 ...
    digest: str  # of the manifest: sha256:...
    run_id: str
    created: str  # UTC, as in 2026-01-31T12:00:00Z
    size: int  # bytes of all files together

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"


def to_bytes(version: Version) -> bytes:
    """The record as it is stored."""
    return seal({"format": FORMAT, **asdict(version)})


def read_version(store: Store, name: str, number: int) -> Version:
    """The record of one version. Raises NotFound, CorruptObject."""
    key = version_key(name, number)
    fields = read_sealed(store, key)
    try:
        version = Version(**{k: v for k, v in fields.items() if k != "format"})
        check_digest(version.digest)
    except (TypeError, BadReference) as error:
        raise CorruptObject(f"{key!r} in {store.uri} is not a version's record: {error}") from None
    if (version.name, version.number) != (name, number):
        raise CorruptObject(f"{key!r} in {store.uri} is the record of {version}, which does not belong there")
    return version


def read_sealed(store: Store, key: str) -> Mapping[str, Any]:
    """The fields of a record of the known format. A damaged one is read again before it is believed."""
    name = f"{key!r} in {store.uri}"
    fields = _unsealed(store, key, name)
    if fields.get("format") != FORMAT:
        raise CorruptObject(
            f"{name} has format {fields.get('format')!r}; this program reads format {FORMAT}; update it"
        )
    return fields


def _unsealed(store: Store, key: str, name: str, tries: int = 3) -> dict[str, Any]:
    try:
        return unseal(store.read(key, limit=_LARGEST), name)
    except CorruptObject:  # a bit may have flipped on the way
        if tries == 1:
            raise
        return _unsealed(store, key, name, tries - 1)


def version_numbers(store: Store, name: str) -> list[int]:
    """The numbers of a model's versions, ascending; empty when there is no such model."""
    found = (number_in(stat.key) for stat in store.list(versions_prefix(name)))
    return [number for number in found if number is not None]


def latest_number(store: Store, name: str) -> int:
    """The highest version of a model. Raises NotFound, listing the models there are."""
    numbers = version_numbers(store, name)
    if not numbers:
        raise no_model(store, name)
    return numbers[-1]


def model_names(store: Store) -> list[str]:
    """Every model that has a version."""
    keys = (stat.key.split("/") for stat in store.list(MODELS))
    return sorted({parts[1] for parts in keys if len(parts) == 4 and parts[2] == "versions"})


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


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
