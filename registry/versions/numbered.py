"""Numbered records: which of the objects under a prefix are versions or moves, and which are strangers.

Numbers are given one after the other, so an object far above the others was not put there by a publisher. One that
is believed all the same would make the next number a name that nobody can pronounce.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tunewright.registry.errors import AccessDenied, BadReference, CorruptObject, NotFound, Unreachable
from tunewright.registry.stores.store import Reader, Stat, Store
from tunewright.registry.versions.document import seal, unseal, wrong
from tunewright.registry.versions.layout import check_line, deleted_in, number_in

FORMAT = 2
"""Of the version records that this program writes; it reads 1 too. Moves have one more, all others only format 1."""
EXACT = ConfigDict(extra="forbid", defer_build=True)
"""Of every record. What reads one is built when it is first wanted: most programs meet few of the kinds."""

Record = TypeVar("Record")


class Entry(Protocol):
    """One entry of a log beside an alias: a dataclass with these fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str: ...
    @property
    def alias(self) -> str: ...
    @property
    def entry(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def reason(self) -> str: ...


AnEntry = TypeVar("AnEntry", bound=Entry)
OnFault = Callable[[str], None]

_LARGEST = 64 * 1024  # bytes of one record
HINTS = 3  # that are tried before all is listed
_STEPS = 4  # numbers that are read one after the other before those after them are listed
WIDEST_GAP = 1000  # numbers that may be missing in a row, because somebody has removed their records


def nobody(_: str) -> None:
    """For those who do not want to hear of strangers."""


@lru_cache(64)
def warn(fault: str) -> None:
    """Say on standard error, once, what does not keep anybody from an answer."""
    if sys.stderr:
        sys.stderr.write(f"warning: {''.join(c if c.isprintable() else '?' for c in fault)}\n")


def numbers(
    store: Reader,
    prefix: str,
    readable: Callable[[int], object],
    listed: Iterable[Stat],
    *,
    on_fault: OnFault = nobody,
    deleted: set[int] | None = None,
    last: int = 0,
) -> Iterator[int]:
    """The numbers of the records under a prefix, ascending, among the objects that are listed there.

    One above a gap counts only when `readable` raises no CorruptObject for it, and the gap is not wide; what is missing
    below the first was removed, however much it is.
    `on_fault` is told of every object that does not count. `deleted` is filled with the numbers that are said to be
    deleted, whether or not there is a record of them. `last`: the number after which the listed objects begin.
    """
    for stat in listed:
        name = stat.key.removeprefix(prefix)
        is_here = "/" not in name
        gone = deleted_in(name) if is_here and deleted is not None else None
        if gone is not None and deleted is not None and gone - last <= WIDEST_GAP:
            last = max(last, gone)
            deleted.add(gone)
            continue
        number = number_in(name) if is_here else None
        if (
            number is None
            or (last and number - last > WIDEST_GAP)
            or (number > last + 1 and not _reads(readable, number))
        ):
            on_fault(stranger(store, stat.key))
            continue
        last = number
        yield number


def last_of(
    store: Store, prefix: str, read: Callable[[int], Record], hints: Iterable[int]
) -> tuple[int, Record] | None:
    """The highest of the records under a prefix, and its number; None where there is none.

    The hints, the highest first, are where to begin; what they say is not believed, and without a true one all is
    listed. From there on the next number is read until there is none, so that nothing is missed that a listing does
    not show yet, or that nobody has hinted at. Raises CorruptObject where a record on the way is damaged.
    """
    tried = ((number, _there(read, number)) for number in islice(hints, HINTS))
    found = next(((number, record) for number, record in tried if record is not None), None)
    found = found or _last_listed(store, prefix, read, 0)
    steps = 0
    while (record := _there(read, number := found[0] + 1 if found else 1)) is not None:
        found, steps = (number, record), steps + 1
        if steps % _STEPS == 0:
            found = _last_listed(store, prefix, read, number) or found
    return found


def hinted(store: Store, prefix: str, most: int) -> list[Stat]:
    """The first of the marks below a prefix; none for whoever may not read them, who goes without."""
    with suppress(AccessDenied):
        return list(islice(store.list(prefix, page=most), most))
    return []


def mark(store: Store, key: str) -> None:
    """Leave a hint. Whoever may not, or cannot now, leaves none: it is only ever missed by who would be faster."""
    with suppress(AccessDenied, Unreachable):
        store.create(key, b"")


def stranger(store: Reader, key: str) -> str:
    """The sentence about an object that does not belong in a registry."""
    return f"{key!r} in {store.uri} is not an object of a registry; it is left out, remove it"


def sealed(key: str, fields: Mapping[str, object]) -> bytes:
    """A record as it is written under a key, which must be one that can be read again. Raises BadReference."""
    data = seal(fields)
    if len(data) > _LARGEST:
        raise BadReference(
            f"the record {key!r} would hold {len(data):,} bytes, and at most {_LARGEST:,} can be read: say it shorter"
        )
    return data


def read_record(
    store: Reader,
    key: str,
    kind: TypeAdapter[Record],
    what: str,
    *,
    since_2: frozenset[str] | None = None,
    newest: int = FORMAT,
) -> Record:
    """The record at a key, of a known format and with every field of its type and in its range.

    `since_2`: the fields that format 2 has more than format 1; None for a kind of which there is only format 1.
    `newest`: the highest format of the kind; one of which there are three keeps which it is, in a field `format`.
    A damaged one is read again before it is believed. Raises NotFound, CorruptObject.
    """
    fields = _unsealed(store, key, f"{key!r} in {store.uri}")
    stated = fields.pop("format", None)
    known = (1,) if since_2 is None else tuple(range(1, newest + 1))
    if type(stated) is not int or stated not in known:
        raise CorruptObject(
            f"{key!r} in {store.uri} has format {stated!r}; this program reads format {_listed(known)}; update it"
        )
    differing = (since_2 or frozenset()) & fields.keys() ^ (since_2 if since_2 and stated >= FORMAT else frozenset())
    if differing:
        raise CorruptObject(
            f"{key!r} in {store.uri} is not {what}: format {stated} has {'a' if stated >= FORMAT else 'no'} field "
            f"{min(differing)!r}"
        )
    if newest > FORMAT:
        fields["format"] = stated
    try:
        return kind.validate_python(fields)
    except ValidationError as error:
        raise CorruptObject(f"{key!r} in {store.uri} is not {what}: {wrong(error)}") from None


def read_entry(
    store: Reader,
    key: str,
    kind: TypeAdapter[AnEntry],
    what: str,
    place: tuple[str, str, int],
    *,
    since_2: frozenset[str] | None = None,
    newest: int = FORMAT,
) -> AnEntry:
    """The entry of a log at a key, which is that of `place`: name, alias, number. Raises NotFound, CorruptObject."""
    read = read_record(store, key, kind, what, since_2=since_2, newest=newest)
    if (read.name, read.alias, read.entry) != place:
        raise CorruptObject(
            f"{key!r} in {store.uri} is entry {read.entry} of {read.name}@{read.alias}, not of this log"
        )
    return read


def append(
    store: Store, key: str, made: AnEntry, there: Callable[[], AnEntry], *, fields: Mapping[str, object] | None = None
) -> AnEntry | None:
    """The entry as stored; None when somebody else, whose entry is `there`, took its place in the log.

    `fields`: what is stored of it, where that is not format 1. Raises BadReference for a reason of several lines, or
    one with which the entry could not be read.
    """
    check_line(made.reason, "the reason")
    if store.create(key, sealed(key, fields or {"format": 1, **asdict(made)})):
        return made
    # It may be this one all the same, where the answer of the store was lost.
    stored = there()
    return stored if stored.id == made.id else None


def _listed(known: tuple[int, ...]) -> str:
    *most, last = map(str, known)
    return f"{', '.join(most)} and {last}" if most else last


def _last_listed(store: Store, prefix: str, read: Callable[[int], Record], after: int) -> tuple[int, Record] | None:
    listed = store.list(prefix, after=f"{prefix}{after:020d}.json" if after else "")
    highest = max(numbers(store, prefix, read, listed, deleted=set(), last=after), default=None)
    return None if highest is None else (highest, read(highest))


def _there(read: Callable[[int], Record], number: int) -> Record | None:
    try:
        return read(number)
    except NotFound:
        return None


def _reads(readable: Callable[[int], object], number: int) -> bool:
    try:
        readable(number)
    except (CorruptObject, NotFound):
        return False
    return True


def _unsealed(store: Reader, key: str, name: str, tries: int = 3) -> dict[str, Any]:
    try:
        return unseal(store.read(key, limit=_LARGEST), name)
    except CorruptObject:  # a bit may have flipped on the way
        if tries == 1:
            raise
        return _unsealed(store, key, name, tries - 1)
