"""The latest version: the highest that is neither deleted nor yanked, found without reading what lies below it.

A version is yanked when somebody says that nobody should begin to use it. It stays what it is, under its number, its
digest and the aliases that hold it; `latest` passes over it, and who pulls it is warned. Yanking is a log of
create-only entries beside the marks of the versions, so one listing tells where the versions end and which of the last
ones are passed over (see `docs/decisions/0033-constant-requests.md`).
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Stat, Store
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import (
    AT,
    MARKS,
    YANK,
    Line,
    Name,
    Number,
    Time,
    check_line,
    deletion_key,
    is_name,
    mark_key,
    marked,
    number_in,
    version_marks,
    versions_prefix,
)
from tunewright.registry.versions.numbered import EXACT, OnFault, last_of, read_record
from tunewright.registry.versions.record import Version, check_version, no_model, now, numbers_of, read_version, who

_PAGE = 100  # marks that are asked for
_STEPS = 50  # versions that are passed over before all are listed

Marks = Mapping[int, frozenset[str]]
"""What is marked of versions, by their numbers."""


@dataclass(frozen=True)
class Yank:
    """One entry of the log of a version: whether `latest` passes over it from then on, and why."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    number: Number  # of the version
    entry: Number  # 1, 2, 3 ...
    yanked: Annotated[bool, Field(strict=True)]
    reason: Line
    written: Time  # UTC
    who: Line
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]  # tells two equal entries apart

    def __str__(self) -> str:
        """`yanked by ada@host (2026-01-31T12:00:00Z): it answers in the wrong language`."""
        return f"yanked by {self.who} ({self.written}){f': {self.reason}' if self.reason else ''}"


_KIND = TypeAdapter(Yank)


@dataclass(frozen=True)
class Latest:
    """Where the versions of a model end."""

    version: Version  # the highest that is neither deleted nor yanked
    highest: int  # the highest that there is


def latest(store: Store, name: str) -> Latest:
    """The latest version of a model: one listing and two reads, however many versions there are.

    A few more requests where the highest are passed over, or were published by programs that leave no marks.
    Raises NotFound, CorruptObject.
    """
    listed = list(islice(store.list(version_marks(name), page=_PAGE), _PAGE))
    marks = _marks(listed)
    top = last_of(store, versions_prefix(name), lambda number: read_version(store, name, number), marks)
    if top is None:
        raise no_model(store, name)
    highest = top[0]
    told = min(marks) if len(listed) == _PAGE else 0  # of what is above this one, all marks are known
    for number in range(highest, max(highest - _STEPS, told, 0), -1):
        version = top[1] if number == highest else _find(store, name, number)
        if version and _is_offered(store, version, marks.get(number, frozenset())):
            return Latest(version, highest)
    live, highest = numbers_of(store, name)
    out = yanked(store, name)
    offered = [number for number in live if number not in out]
    if not offered:
        raise NotFound(f"every version of {name!r} in {store.uri} is yanked; {name}:{live[-1]} was {out[live[-1]]}")
    return Latest(read_version(store, name, offered[-1]), highest)


def passed_over(store: Store, version: Version) -> list[str]:
    """What of a model is yanked above a version, in words, as far as one listing of the highest marks tells."""
    marks = _marks(islice(store.list(version_marks(version.name), page=_PAGE), _PAGE))
    above = [replace(version, number=number) for number in sorted(marks, reverse=True) if number > version.number]
    said = [one for one in above if any(what.startswith(YANK) for what in marks[one.number])]
    return [f"{one} is {gone}" for one in said if (gone := yank_of(store, one))]


def latest_number(store: Store, name: str) -> int:
    """The number of the latest version. Raises NotFound, listing the models there are."""
    return latest(store, name).version.number


def yank(store: Store, version: Version, reason: str) -> Yank:
    """Have `latest` pass over a version that is not deleted; said twice, it is written once.

    Raises BadReference for a reason of several lines, NotFound.
    """
    last = yank_of(store, version)
    return last if last and reason in ("", last.reason) else _say(store, version, is_yanked=True, reason=reason)


def unyank(store: Store, version: Version, reason: str = "") -> Yank | None:
    """Take that back; None where it was not yanked. Raises BadReference, NotFound."""
    return _say(store, version, is_yanked=False, reason=reason) if yank_of(store, version) else None


def yank_of(store: Store, version: Version) -> Yank | None:
    """What tells that a version is yanked; None where it is not. Raises CorruptObject."""
    last = _last(store, version.name, version.number, store.list(_log(version)))
    return last if last and last.yanked else None


def yanked(store: Store, name: str, *, on_fault: OnFault | None = None) -> dict[int, Yank]:
    """The versions of a model that are yanked, by their numbers.

    `on_fault` is told of what cannot be read; without it CorruptObject is raised.
    """
    return _yanked_in(store, name, store.list(version_marks(name)), on_fault)


def all_yanked(store: Store, *, on_fault: OnFault) -> dict[str, dict[int, Yank]]:
    """The same of every model, by its name."""
    marks: dict[str, list[Stat]] = {}
    for stat in store.list(MARKS):
        name = stat.key.split("/")[1]
        if is_name(name) and stat.key.startswith(version_marks(name)):
            marks.setdefault(name, []).append(stat)
    return {name: _yanked_in(store, name, listed, on_fault) for name, listed in marks.items()}


def _yanked_in(store: Store, name: str, listed: Iterable[Stat], on_fault: OnFault | None) -> dict[int, Yank]:
    logs: dict[int, list[Stat]] = {}
    for stat in listed:
        told = marked(stat.key)
        if told and told[1].startswith(YANK):
            logs.setdefault(told[0], []).append(stat)
    found = {}
    for number, entries in logs.items():
        try:
            last = _last(store, name, number, entries)
        except CorruptObject as error:
            if on_fault is None:
                raise
            on_fault(str(error))
            continue
        if last and last.yanked:
            found[number] = last
    return found


def _is_offered(store: Store, version: Version, said: frozenset[str]) -> bool:
    """Whether a version is neither deleted nor yanked. Who publishes, deletes or yanks marks it before."""
    if said == {AT}:
        return True
    if store.exists(deletion_key(version.name, version.number)):
        return False
    return not any(what.startswith(YANK) for what in said) or yank_of(store, version) is None


def _marks(listed: Iterable[Stat]) -> Marks:
    found: dict[int, set[str]] = {}
    for stat in listed:
        if told := marked(stat.key):
            found.setdefault(told[0], set()).add(told[1])
    return {number: frozenset(said) for number, said in found.items()}


def _say(store: Store, version: Version, *, is_yanked: bool, reason: str) -> Yank:
    check_version(store, version.name, version.number)
    check_line(reason, "the reason")
    probe(store)
    last = _last(store, version.name, version.number, store.list(_log(version)))
    entry = last.entry + 1 if last else 1
    while True:
        made = Yank(version.name, version.number, entry, is_yanked, reason, now(), who(), uuid.uuid4().hex)
        if store.create(f"{_log(version)}{entry:020d}.json", seal({"format": 1, **asdict(made)})):
            return made
        entry += 1


def _last(store: Store, name: str, number: int, listed: Iterable[Stat]) -> Yank | None:
    entries = (number_in(stat.key.rpartition(f"{YANK}.")[2]) for stat in listed)
    entry = max((one for one in entries if one), default=0)
    if not entry:
        return None
    key = f"{mark_key(version_marks(name), number, YANK)}.{entry:020d}.json"
    last = read_record(store, key, _KIND, "an entry about a yank")
    if (last.name, last.number, last.entry) != (name, number, entry):
        raise CorruptObject(f"{key!r} in {store.uri} is about {last.name}:{last.number}, which does not belong there")
    return last


def _log(version: Version) -> str:
    """How the keys of the log of a version begin."""
    return f"{mark_key(version_marks(version.name), version.number, YANK)}."


def _find(store: Store, name: str, number: int) -> Version | None:
    try:
        return read_version(store, name, number)
    except NotFound:
        return None
