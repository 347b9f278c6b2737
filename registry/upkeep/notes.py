"""What people say of a version after it was made: tags and a description.

Each version has a log of create-only entries, and each entry holds all that is said from then on, so one is read of
each version. They lie beside the models: programs of earlier releases, to which they would be strangers there, do not
meet them.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import BadReference, CorruptObject
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Reader, Stat, Store
from tunewright.registry.versions.layout import (
    LATEST,
    NOTES,
    Line,
    Name,
    Number,
    Time,
    check_line,
    is_name,
    note_key,
    notes_prefix,
    number_in,
)
from tunewright.registry.versions.numbered import EXACT, OnFault, nobody, numbers, read_record, sealed, stranger
from tunewright.registry.versions.record import Version, check_version, now, who


@dataclass(frozen=True)
class Note:
    """All that is said of a version."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    number: Number  # of the version
    entry: Number  # 1, 2, 3 ...
    tags: tuple[Name, ...]  # sorted
    description: Annotated[str, Field(max_length=4096)]
    written: Time  # UTC
    who: Line
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]  # tells two equal entries apart


_NOTE = TypeAdapter(Note)
LONGEST = 4096
"""Characters of a description."""


def tag(store: Store, version: Version, *tags: str) -> Note | None:
    """Give tags to a version that is not deleted. Raises BadReference, NotFound."""
    added = {check_tag(one) for one in tags}
    if LATEST in added:
        raise BadReference("the tag 'latest' is reserved: @latest is always the highest version; choose another word")
    return _change(store, version, lambda note: replace(note, tags=tuple(sorted({*note.tags, *added}))))


def untag(store: Store, version: Version, *tags: str) -> Note | None:
    """Take tags from it. Raises BadReference, NotFound."""
    taken = {check_tag(one) for one in tags}
    return _change(store, version, lambda note: replace(note, tags=tuple(sorted({*note.tags} - taken))))


def describe(store: Store, version: Version, description: str) -> Note | None:
    """Say what a version is, in place of what was said; "" says nothing. Raises BadReference, NotFound."""
    check_line(description, "the description", most=LONGEST)
    return _change(store, version, lambda note: replace(note, description=description))


def notes(store: Store, name: str, *, on_fault: OnFault = nobody) -> dict[int, Note]:
    """What is said of each version of a model, by its number; `on_fault` is told of what cannot be read."""
    return notes_in(store, name, store.list(notes_prefix(name)), on_fault)


def notes_in(store: Reader, name: str, notes: Iterable[Stat], on_fault: OnFault) -> dict[int, Note]:
    """The same among the objects that are listed where the notes on a model lie."""
    found = {}
    for folder, stats in groupby(notes, key=lambda stat: stat.key.rpartition("/")[0]):
        listed, number = list(stats), number_in(f"{folder}.json")
        if number is None:
            on_fault(stranger(store, listed[0].key))
            continue
        try:
            note = _last(store, name, number, listed, on_fault)
        except CorruptObject as error:
            on_fault(str(error))
            continue
        if note and (note.tags or note.description):
            found[number] = note
    return found


def by_noted(store: Store) -> dict[str, list[Stat]]:
    """The objects that tell what is said of each model's versions, by its name."""
    return {name: list(stats) for name, stats in groupby(store.list(NOTES), key=lambda stat: stat.key.split("/")[1])}


def note_on(store: Store, version: Version) -> Note | None:
    """What is said of a version; None where nothing is. Raises CorruptObject."""
    listed = store.list(notes_prefix(version.name, version.number))
    return _last(store, version.name, version.number, listed, nobody)


def _change(store: Store, version: Version, edit: Callable[[Note], Note]) -> Note | None:
    """What is said from now on; said twice, it is written once."""
    check_version(store, version.name, version.number)
    probe(store)
    while True:
        last = note_on(store, version)
        before = last or Note(version.name, version.number, 1, (), "", now(), who(), uuid.uuid4().hex)
        made = edit(before)
        if made == before:
            return last
        entry = last.entry + 1 if last else 1
        made = replace(made, entry=entry, written=now(), who=who(), id=uuid.uuid4().hex)
        key = note_key(made.name, made.number, entry)
        if store.create(key, sealed(key, {"format": 1, **asdict(made)})):
            return made


def _last(store: Reader, name: str, number: int, listed: Iterable[Stat], on_fault: OnFault) -> Note | None:
    read = partial(_read, store, name, number)
    entries = list(numbers(store, notes_prefix(name, number), read, listed, on_fault=on_fault))
    return read(entries[-1]) if entries else None


def _read(store: Reader, name: str, number: int, entry: int) -> Note:
    key = note_key(name, number, entry)
    note = read_record(store, key, _NOTE, "a note on a version")
    if (note.name, note.number, note.entry) != (name, number, entry):
        raise CorruptObject(
            f"{key!r} in {store.uri} is a note on {note.name}:{note.number}, which does not belong there"
        )
    return note


def check_tag(text: str) -> str:
    """The form of a tag. Raises BadReference."""
    if not is_name(text):
        raise BadReference(
            f"{text!r} is not a tag; expected 1 to 64 of a-z, 0-9, '.', '_', '-', the first and last a letter or digit"
        )
    return text
