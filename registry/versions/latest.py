"""The latest version: the highest that is neither deleted nor yanked, found without reading what lies below it.

A version is yanked when somebody says that nobody should begin to use it. It stays what it is, under its number, its
digest and the aliases that hold it; `latest` passes over it, and who pulls it is warned. Yanking is a log of
create-only entries beside the marks of the versions, so one listing tells where the versions end and which of the last
ones are passed over (see `docs/decisions/0033-constant-requests.md`).
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import AccessDenied, CorruptObject, NotFound
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Stat, Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.layout import (
    AT,
    DELETED,
    LONGEST_LINE,
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
from tunewright.registry.versions.numbered import (
    EXACT,
    OnFault,
    last_of,
    mark,
    nobody,
    numbers,
    read_record,
    sealed,
    warn,
)
from tunewright.registry.versions.record import Version, check_version, no_model, now, numbers_of, read_version, who

_PAGE = 100  # marks that are asked for
_STEPS = 50  # versions that are passed over before all are listed
_MOST = 16  # deletions that one listing leaves marks of

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


@dataclass(frozen=True)
class Unread:
    """The last entry of such a log, where it cannot be read: `latest` passes over the version, as if it was yanked."""

    name: str
    number: int
    entry: int
    fault: str

    @property
    def reason(self) -> str:
        """In the place of that of a yank."""
        return "its entry cannot be read"

    def __str__(self) -> str:
        """`passed over by latest: <what is wrong>; ...`."""
        return (
            f"passed over by latest: {self.fault}; `tunewright yank {self.name}:{self.number}` or `unyank` makes the "
            "next entry"
        )


Passed = Yank | Unread
"""Why `latest` passes over a version."""
Counts = Callable[[Yank], bool] | None
"""Which entries about yanks count, telling of those that do not; all do where it is None, and one that cannot be read
as a yank."""
_KIND = TypeAdapter(Yank)


@dataclass(frozen=True)
class Latest:
    """Where the versions of a model end."""

    version: Version  # the highest that is neither deleted nor yanked
    highest: int  # the highest that there is


def latest(store: Store, name: str, *, on_fault: OnFault = warn, counts: Counts = None) -> Latest:
    """The latest version of a model: one listing and two reads, however many versions there are.

    A few more requests where the highest are passed over, or were published by programs that leave no marks.
    `on_fault` is told of versions that are passed over for an entry that cannot be read, and of marks that may not be.
    Raises NotFound, CorruptObject.
    """
    try:
        listed = list(islice(store.list(version_marks(name), page=_PAGE), _PAGE))
    except AccessDenied as error:
        on_fault(f"{error}; without them yanked versions are not passed over")
        live, highest = numbers_of(store, name)
        return Latest(read_version(store, name, live[-1]), highest)
    marks = _marks(listed)
    top = last_of(store, versions_prefix(name), lambda number: read_version(store, name, number), marks)
    if top is None:
        raise no_model(store, name)
    highest = top[0]
    told = min(marks) if len(listed) == _PAGE else 0  # of what is above this one, all marks are known
    for number in range(highest, max(highest - _STEPS, told, 0), -1):
        version = top[1] if number == highest else _find(store, name, number)
        if version and _is_offered(store, version, marks.get(number, frozenset()), on_fault, counts):
            return Latest(version, highest)
    live, highest = numbers_of(store, name)
    out = yanked(store, name, on_fault=on_fault, counts=counts)
    offered = [number for number in live if number not in out]
    if not offered:
        raise NotFound(f"every version of {name!r} in {store.uri} is yanked; {name}:{live[-1]} is {out[live[-1]]}")
    return Latest(read_version(store, name, offered[-1]), highest)


def latest_number(store: Store, name: str) -> int:
    """The number of the latest version. Raises NotFound, listing the models there are."""
    return latest(store, name).version.number


def yank(store: Store, version: Version, reason: str, *, counts: Counts = None) -> Yank:
    """Have `latest` pass over a version that is not deleted; said twice, it is written once.

    Raises BadReference for a reason of several lines or of more than 256 characters, NotFound.
    """
    last = yank_of(store, version, counts=counts)
    if isinstance(last, Yank) and reason in ("", last.reason):
        return last
    return _say(store, version, is_yanked=True, reason=reason)


def unyank(store: Store, version: Version, reason: str = "", *, counts: Counts = None) -> Yank | None:
    """Take that back; None where it was not yanked. Raises BadReference, NotFound."""
    was = yank_of(store, version, counts=counts)
    return _say(store, version, is_yanked=False, reason=reason) if was else None


def yank_of(store: Store, version: Version, *, counts: Counts = None, on_fault: OnFault = warn) -> Passed | None:
    """What tells that a version is yanked, or that this cannot be told; None where it is not.

    `on_fault` is told by whoever may not read the marks, and of entries that are passed over as they cannot be read.
    """
    listed = _told(store, _log(version.name, version.number), on_fault)
    return _last(store, version.name, version.number, listed, on_fault if counts else nobody, counts)


def said_of(store: Store, name: str) -> Iterator[Yank]:
    """Every entry about a yank that can be read, of each version of a model, the oldest of a version first."""
    for number, listed in _logs(store.list(version_marks(name))).items():
        for entry in _entries(store, name, number, listed, nobody):
            with suppress(CorruptObject, NotFound):  # the last of a log is told of by `yanked`
                yield _read(store, name, number, entry)


def yanked(
    store: Store, name: str, *, on_fault: OnFault = warn, deleted: Collection[int] = (), counts: Counts = None
) -> dict[int, Passed]:
    """The versions of a model that are yanked, or of which that cannot be told, by their numbers.

    `on_fault` is told of what cannot be read. `deleted`: versions that are; earlier programs leave no mark of that, so
    one is left here.
    """
    return _yanked_in(store, name, _told(store, version_marks(name), on_fault), on_fault, deleted, counts)


def all_yanked(
    store: Store,
    *,
    on_fault: OnFault,
    deleted: Mapping[str, Collection[int]] | None = None,
    counts: Counts = None,
) -> dict[str, dict[int, Passed]]:
    """The same of every model, by its name."""
    marks: dict[str, list[Stat]] = {name: [] for name in deleted or ()}
    for stat in _told(store, MARKS, on_fault):
        name = stat.key.split("/")[1]
        if is_name(name) and stat.key.startswith(version_marks(name)):
            marks.setdefault(name, []).append(stat)
    gone = deleted or {}
    return {
        name: _yanked_in(store, name, listed, on_fault, gone.get(name, ()), counts) for name, listed in marks.items()
    }


def _told(store: Store, prefix: str, on_fault: OnFault) -> Iterator[Stat]:
    """The marks below a prefix; none for whoever may not read them, which is told."""
    try:
        yield from store.list(prefix)
    except AccessDenied as error:
        on_fault(f"{error}; without them it cannot be told which versions are yanked")


def _yanked_in(
    store: Store,
    name: str,
    marks: Iterable[Stat],
    on_fault: OnFault,
    deleted: Collection[int],
    counts: Counts = None,
) -> dict[int, Passed]:
    listed = list(marks)
    told = [one for stat in listed if (one := marked(stat.key))]
    missing = sorted(set(deleted) - {number for number, what in told if what == DELETED})[-_MOST:]
    each(lambda number: mark(store, mark_key(version_marks(name), number, DELETED)), missing)
    found = {}
    for number, entries in _logs(listed).items():
        last = _last(store, name, number, entries, on_fault, counts)
        if last:
            found[number] = last
        if isinstance(last, Unread):
            on_fault(f"{name}:{number} is {last}")
    return found


def _logs(marks: Iterable[Stat]) -> dict[int, list[Stat]]:
    """The entries about yanks among the marks of a model, by the numbers of the versions."""
    logs: dict[int, list[Stat]] = {}
    for stat in marks:
        told = marked(stat.key)
        if told and told[1].startswith(YANK):
            logs.setdefault(told[0], []).append(stat)
    return logs


def _is_offered(store: Store, version: Version, said: frozenset[str], on_fault: OnFault, counts: Counts = None) -> bool:
    """Whether a version is neither deleted nor yanked. Who publishes, deletes or yanks marks it before."""
    if said == {AT}:
        return True
    if store.exists(deletion_key(version.name, version.number)):
        return False
    is_marked = any(what.startswith(YANK) for what in said)
    gone = yank_of(store, version, counts=counts, on_fault=on_fault) if is_marked else None
    if isinstance(gone, Unread):
        on_fault(f"{version} is {gone}")
    return gone is None


def _marks(listed: Iterable[Stat]) -> Marks:
    found: dict[int, set[str]] = {}
    for stat in listed:
        if told := marked(stat.key):
            found.setdefault(told[0], set()).add(told[1])
    return {number: frozenset(said) for number, said in found.items()}


def _say(store: Store, version: Version, *, is_yanked: bool, reason: str) -> Yank:
    check_version(store, version.name, version.number)
    check_line(reason, "the reason", most=LONGEST_LINE)
    probe(store)
    log = _log(version.name, version.number)
    entry = max(_entries(store, version.name, version.number, store.list(log), nobody), default=0) + 1
    while True:
        made = Yank(version.name, version.number, entry, is_yanked, reason, now(), who(), uuid.uuid4().hex)
        key = f"{log}{entry:020d}.json"
        if store.create(key, sealed(key, {"format": 1, **asdict(made)})):
            return made
        entry += 1


def _last(
    store: Store,
    name: str,
    number: int,
    listed: Iterable[Stat],
    on_fault: OnFault = nobody,
    counts: Counts = None,
) -> Passed | None:
    """What the log of a version ends with, of what counts; None where it is not yanked."""
    for entry in sorted(_entries(store, name, number, listed, on_fault), reverse=True):
        try:
            last = _read(store, name, number, entry)
        except (CorruptObject, NotFound) as error:
            if counts is None:
                return Unread(name, number, entry, str(error))
            on_fault(f"{error}; it is passed over")
            continue
        if counts is None or counts(last):
            return last if last.yanked else None
    return None


def _entries(store: Store, name: str, number: int, listed: Iterable[Stat], on_fault: OnFault) -> list[int]:
    """The numbers of the entries of a log."""
    log = _log(name, number)
    entries = (stat for stat in listed if number_in(stat.key.removeprefix(log)))
    return list(numbers(store, log, partial(_read, store, name, number), entries, on_fault=on_fault))


def _read(store: Store, name: str, number: int, entry: int) -> Yank:
    key = f"{_log(name, number)}{entry:020d}.json"
    read = read_record(store, key, _KIND, "an entry about a yank")
    if (read.name, read.number, read.entry) != (name, number, entry):
        raise CorruptObject(f"{key!r} in {store.uri} is about {read.name}:{read.number}, which does not belong there")
    return read


def _log(name: str, number: int) -> str:
    """How the keys of the log of a version begin."""
    return f"{mark_key(version_marks(name), number, YANK)}."


def _find(store: Store, name: str, number: int) -> Version | None:
    try:
        return read_version(store, name, number)
    except NotFound:
        return None
