"""Numbered records: which of the objects under a prefix are versions or moves, and which are strangers.

Numbers are given one after the other, so an object far above the others was not put there by a publisher. One that
is believed all the same would make the next number a name that nobody can pronounce.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.document import unseal, wrong
from tunewright.registry.versions.layout import number_in

FORMAT = 1
EXACT = ConfigDict(extra="forbid")

Record = TypeVar("Record")
OnFault = Callable[[str], None]

_LARGEST = 64 * 1024  # bytes of one record
_WIDEST_GAP = 1000  # numbers that may be missing in a row, because somebody has removed their records


def nobody(_: str) -> None:
    """For those who do not want to hear of strangers."""


def numbers(
    store: Store, prefix: str, readable: Callable[[int], object], *, on_fault: OnFault = nobody
) -> Iterator[int]:
    """The numbers of the records under a prefix, ascending.

    One above a gap counts only when `readable` raises no CorruptObject for it, and the gap is not wide; what is missing
    below the first was removed, however much it is.
    `on_fault` is told of every object that does not count.
    """
    last = 0
    for stat in store.list(prefix):
        number = number_in(stat.key) if stat.key.count("/") == prefix.count("/") else None
        if (
            number is None
            or (last and number - last > _WIDEST_GAP)
            or (number > last + 1 and not _reads(readable, number))
        ):
            on_fault(stranger(store, stat.key))
            continue
        last = number
        yield number


def stranger(store: Store, key: str) -> str:
    """The sentence about an object that does not belong in a registry."""
    return f"{key!r} in {store.uri} is not an object of a registry; it is left out, remove it"


def read_record(store: Store, key: str, kind: TypeAdapter[Record], what: str) -> Record:
    """The record at a key, of the known format and with every field of its type and in its range.

    A damaged one is read again before it is believed. Raises NotFound, CorruptObject.
    """
    fields = _unsealed(store, key, f"{key!r} in {store.uri}")
    stated = fields.pop("format", None)
    if stated != FORMAT or type(stated) is not int:
        raise CorruptObject(
            f"{key!r} in {store.uri} has format {stated!r}; this program reads format {FORMAT}; update it"
        )
    try:
        return kind.validate_python(fields)
    except ValidationError as error:
        raise CorruptObject(f"{key!r} in {store.uri} is not {what}: {wrong(error)}") from None


def _reads(readable: Callable[[int], object], number: int) -> bool:
    try:
        readable(number)
    except (CorruptObject, NotFound):
        return False
    return True


def _unsealed(store: Store, key: str, name: str, tries: int = 3) -> dict[str, Any]:
    try:
        return unseal(store.read(key, limit=_LARGEST), name)
    except CorruptObject:  # a bit may have flipped on the way
        if tries == 1:
            raise
        return _unsealed(store, key, name, tries - 1)
