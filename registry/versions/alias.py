"""Aliases: names such as `production` that move from version to version.

An alias is a log of create-only entries, so its history and its undoing come free. Each entry names the version
it replaced; whoever loses the race for an entry's number looks again before it decides. It also holds the digest of the
version's manifest, so that nothing is served under a number but what was promoted under it, and seals the entry before
it, so that no entry can be exchanged unseen.
"""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import Conflict, CorruptObject, NotFound, Overtaken
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Reader, Stat, Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.document import sha256_of
from tunewright.registry.versions.latest import Counts, yank_of
from tunewright.registry.versions.layout import (
    LATEST,
    Digest,
    Line,
    Name,
    Number,
    RunId,
    Seal,
    Time,
    alias_marks,
    alias_prefix,
    aliases_prefix,
    is_name,
    mark_key,
    marked,
    move_key,
)
from tunewright.registry.versions.numbered import (
    EXACT,
    FORMAT,
    HINTS,
    OnFault,
    append,
    hinted,
    last_of,
    mark,
    nobody,
    numbers,
    read_entry,
    stranger,
)
from tunewright.registry.versions.record import (
    Figure,
    Version,
    check_version,
    no_model,
    no_version,
    now,
    read_version,
    version_numbers,
    where,
    who,
)

Kind = Literal["move", "rollback", "remove"]
_NEWEST = 3
"""Format of an entry that has a verdict, a place or a record, which programs of format 2 do not know."""
MOST_SAID = 240
"""Characters about a gate."""


@dataclass(frozen=True)
class Gate:
    """One gate, with the figures that decided."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Line  # as in min.accuracy
    passed: Annotated[bool, Field(strict=True)]
    says: Annotated[str, Field(max_length=MOST_SAID)]
    found: Figure | None = None  # None where it could not be told
    asked: Figure | None = None


@dataclass(frozen=True)
class Verdict:
    """All gates of an alias, held against one version."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    policy: Number  # the entry of the log of the gates
    holder: Number | None  # the version at which the alias pointed; None where it pointed nowhere
    gates: tuple[Gate, ...]
    test_rows: Line | None = None  # the digest of the rows on which the version was measured; None where it tells none
    rows: Annotated[int, Field(strict=True, ge=0)] | None = None  # how many these are
    decided: Annotated[int, Field(strict=True, ge=0)] = 0  # versions of the model measured on them, this one too

    @property
    def missed(self) -> list[Gate]:
        """The gates that the version does not pass."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def reuse(self) -> str:
        """How often the test rows have been asked; empty where that is not known."""
        if self.rows is None:
            return ""
        versions = f"{self.decided} version" + ("" if self.decided == 1 else "s")
        return f"these {self.rows:,} test rows have measured {versions}"


@dataclass(frozen=True)
class Move:
    """One entry of an alias's log."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    alias: Name
    entry: Number  # 1, 2, 3 ...
    number: Number  # the version the alias points at from now on; of a removal, the one it has pointed at
    previous: Number | None  # the version it pointed at before; None where it pointed nowhere
    kind: Kind
    reason: str
    moved: Time  # UTC
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]  # tells two equal moves apart
    digest: Digest | None = None  # of the version's manifest; None in format 1, and of a removal after it
    before: Seal | None = None  # what seals the entry before; None for the first, and in format 1
    highest: Number | None = None  # the highest version it has ever pointed at; None in format 1
    who: Line | None = None  # who has moved it, as in ada@host; None in format 1
    run_id: RunId | None = None  # the job that has moved it; None where a person has, and in format 1
    verdict: Verdict | None = None  # what the alias's gates said of the version; None where nothing was asked
    where: Line | None = None  # it was moved: the run of a CI or the pod, where that is known
    record: Version | None = None  # of the version, so that who asks for it need not read that as well
    format: Annotated[int, Field(strict=True, ge=1, le=_NEWEST)] = FORMAT  # as it is stored; 3 has what is optional

    @property
    def points(self) -> bool:
        """Whether the alias points anywhere from now on."""
        return self.kind != "remove"

    @property
    def as_read(self) -> "Move":
        """The entry as whoever reads it has it: a figure that was given as 10 is 10.0 then."""
        return _MOVE.validate_python(asdict(self))

    @property
    def fields(self) -> dict[str, object]:
        """The entry as it is stored, but for its seal."""
        if self.format == 1:
            return {name: value for name, value in asdict(self).items() if name not in _LATER}
        # One without these is as it was before there were any, and so is what seals it.
        return {name: value for name, value in asdict(self).items() if value or name not in _OPTIONAL}


_MOVE = TypeAdapter(Move)
_SINCE_2 = frozenset({"digest", "before", "highest", "who", "run_id"})
_OPTIONAL = frozenset({"verdict", "where", "record"})
_LATER = _SINCE_2 | _OPTIONAL


def move(
    store: Store,
    name: str,
    alias: str,
    number: int,
    *,
    reason: str = "",
    force: bool = False,
    run_id: str | None = None,
    verdict: Verdict | None = None,
    counts: Counts = None,
) -> Move:
    """Point an alias at a version; `run_id`: for the job that has made it; `verdict`: what was judged before;
    `counts`: which yanks do.

    Nothing happens when it already points there. Without `force` an alias does not go back to a lower number,
    so that a slow job cannot undo what a later one has published; and for a job it goes to none that is not above all
    that it has ever pointed at, so that one which is late, or tried again, undoes no rollback.
    Raises NotFound, Conflict, and Overtaken where the verdict is about another holder.
    """
    version = check_version(store, name, number)
    probe(store)
    while True:
        last = _end(store, name, alias)
        if last and last.points and last.number == number and last.digest in (None, version.digest):
            return last
        if not force:
            refuse_yanked(store, version, alias, counts)
        if last and not force:
            _refuse(store, last, version, is_job=run_id is not None)
        if verdict and verdict.holder != (last.number if last and last.points else None):
            raise Overtaken(f"{name}@{alias} was moved while {version} was judged for it; do the same again")
        made = _append(store, replace(_next(store, last, alias, version, "move", reason, run_id), verdict=verdict))
        if made:
            return made


def refuse_yanked(store: Store, version: Version, alias: str, counts: Counts = None) -> None:
    """Conflict for a version at which nobody should point an alias without meaning it."""
    if gone := yank_of(store, version, counts=counts):
        raise Conflict(f"{version} is {gone}; --force --why TEXT points {version.name}@{alias} at it all the same")


class Believer(Protocol):
    """Who tells what counts when it is chosen where to go back."""

    def counted(self, store: Store, log: list[Move]) -> list[Move]:
        """The entries of a log that count, at least one, as if there were no others."""

    def require_version(self, store: Store, version: Version) -> None:
        """Raises where nobody should be given a version."""


def rollback(
    store: Store,
    name: str,
    alias: str,
    *,
    reason: str = "",
    holder: int | None = None,
    to: int | None = None,
    believer: Believer | None = None,
) -> Move:
    """Point an alias at where it was before, or at `to`, where it has been; a second rollback goes one step further.

    With `holder`, the version that the alias must point at, or with `to`, doing it twice is doing it once. `believer`:
    without one, every entry counts.
    Raises NotFound, and Conflict when there is nothing to go back to, another version is the holder, or somebody moved
    the alias meanwhile.
    """
    log = history(store, name, alias)
    end, every = log[-1], len(log)
    log = believer.counted(store, log) if believer else log
    last = log[-1]
    is_end = last.entry == end.entry  # else what has come after it does not count
    if is_end and to is not None and last.points and last.number == to:
        return end
    if holder is not None and (not last.points or last.number != holder):
        if is_end and last.kind == "rollback" and last.previous == holder:
            return end
        raise Conflict(
            f"{name}@{alias} points {f'at version {last.number}' if last.points else 'nowhere'}, not at {holder}: "
            f"nothing was moved; `tunewright history {name}@{alias}` tells what has"
        )
    target = _target(log, to, hint="" if len(log) == every else "; moves that no trusted key has signed do not count")
    version = check_version(store, name, target.number)
    _require_promoted(store, target, version)
    if believer:
        believer.require_version(store, version)
    probe(store)
    reason = reason or (f"back from {last.number}" if last.points else "back from nowhere")
    made = _append(store, _next(store, end, alias, version, "rollback", reason, None))
    if made is None:
        raise Conflict(f"{name}@{alias} was moved by somebody else just now; look at its history and try again")
    return made


def remove(store: Store, name: str, alias: str, *, reason: str = "") -> Move:
    """Let an alias point nowhere; its log stays, and a rollback brings it back. Done twice, it is done once.

    Raises NotFound where there has never been such an alias.
    """
    probe(store)
    while True:
        last = _end(store, name, alias)
        if last is None:
            raise _no_alias(store, name, alias)
        if not last.points:
            return last
        made = _append(store, _next(store, last, alias, last, "remove", reason, None))
        if made:
            return made


def current(store: Store, name: str, alias: str) -> int:
    """The version an alias points at. Raises NotFound."""
    return last_move(store, name, alias).number


def last_move(store: Store, name: str, alias: str) -> Move:
    """The move that made an alias point where it does. Raises NotFound, CorruptObject."""
    last = _end(store, name, alias)
    if last is None or not last.points:
        raise _no_alias(store, name, alias)
    return last


def removal(store: Store, name: str, alias: str) -> Move | None:
    """What has let an alias point nowhere; None where it points somewhere, or there has never been one."""
    last = _end(store, name, alias)
    return None if last is None or last.points else last


def held(store: Store, move: Move) -> Version:
    """The version that an entry points at, as it was promoted. Raises NotFound, CorruptObject."""
    if move.record:
        return move.record
    return promoted(store, move)


def promoted(store: Store, move: Move) -> Version:
    """The same as its record tells by now, which must be of the same bytes. Raises NotFound, CorruptObject."""
    try:
        version = read_version(store, move.name, move.number)
    except NotFound:
        raise no_version(store, move.name, move.number) from None
    _require_promoted(store, move, version)
    return version


def history(store: Store, name: str, alias: str) -> list[Move]:
    """Every move of an alias, the oldest first. Raises NotFound, CorruptObject."""
    entries = _entries(store, name, alias, store.list(alias_prefix(name, alias)))
    moves = each(partial(_read, store, name, alias), entries)
    if not moves:
        raise _no_alias(store, name, alias)
    for before, after in pairwise(moves):
        if after.before and after.entry == before.entry + 1 and after.before != sha256_of(before.fields):
            raise CorruptObject(
                f"entry {after.entry} of {name}@{alias} in {store.uri} was made after another entry {before.entry} "
                "than is there now: one of them was exchanged"
            )
    return moves


def aliases(store: Store, name: str, *, on_fault: OnFault = nobody) -> dict[str, int]:
    """Where each alias of a model points; `on_fault` is told of strangers and of aliases that cannot be read."""
    entries = last_entries(store, name, store.list(aliases_prefix(name)), on_fault=on_fault)
    return {entry.alias: entry.number for entry in entries if entry.points}


def aliases_of(store: Store, version: Version) -> list[str]:
    """The aliases that point at a version."""
    return [alias for alias, number in aliases(store, version.name).items() if number == version.number]


def last_entries(store: Reader, name: str, listed: Iterable[Stat], *, on_fault: OnFault = nobody) -> list[Move]:
    """The last entry of each alias, among the objects where a model's aliases lie; one that cannot be read is told."""
    found = []
    for alias, objects in _logs(store, name, listed, on_fault).items():
        try:
            entries = _entries(store, name, alias, objects, on_fault)
            found += [_read(store, name, alias, entries[-1])] if entries else []
        except CorruptObject as error:
            on_fault(str(error))
    return found


def _refuse(store: Store, last: Move, version: Version, *, is_job: bool) -> None:
    """Conflict where an alias would go back without anybody wanting it."""
    alias, number = f"{last.name}@{last.alias}", version.number
    if not is_job and last.points and number < last.number:
        raise Conflict(
            f"{alias} points at version {last.number}, which is newer than {number}; "
            f"to go back on purpose roll back {alias}, or force the move"
        )
    if is_job and number <= (highest := _highest(store, last)):
        stays = f"stays at {last.name}:{last.number}" if last.points else "points nowhere"
        if last.points and number < last.number:
            raise Conflict(f"{alias} {stays}, which is newer than {version}")
        raise Conflict(
            f"{alias} {stays}: it was taken back from {last.name}:{highest}, and a job only moves it to newer ones; "
            f"`tunewright promote {version} {last.alias}` moves it"
        )


def _require_promoted(store: Store, move: Move, version: Version) -> None:
    """CorruptObject where the version has other bytes than when an alias was pointed at its number."""
    if move.digest not in (None, version.digest):
        raise CorruptObject(
            f"{move.name}@{move.alias} points at version {move.number} with the manifest {move.digest}, and the record "
            f"of {version} in {store.uri} names {version.digest}: this is not what was promoted; promote a version anew"
        )


def _target(log: list[Move], to: int | None, *, hint: str) -> Move:
    """The entry that a rollback goes back to: the last that has pointed at the version. Conflict."""
    alias = f"{log[0].name}@{log[0].alias}"
    number = _before(log) if to is None else to
    found = [entry for entry in log if entry.points and entry.number == number]
    if found:
        return found[-1]
    if to is None:
        raise Conflict(f"{alias} has nothing to go back to: {log[0].number} is the first version it pointed at{hint}")
    been = ", ".join(map(str, sorted({entry.number for entry in log})))
    raise Conflict(
        f"{alias} has never pointed at version {to}, but at {been}; promote {log[0].name}:{to} instead{hint}"
    )


def _before(log: list[Move]) -> int | None:
    """Where the alias pointed before the last move, or removal, that was not itself undone."""
    done: list[Move] = []
    for entry in log:
        if entry.kind != "rollback":
            done.append(entry)
            continue
        del done[-1:]
        while done and (done[-1].number != entry.number or not done[-1].points):  # several steps at once
            done.pop()
    return done[-1].previous if done else None


def _next(
    store: Store, last: Move | None, alias: str, version: Version | Move, kind: Kind, reason: str, run_id: str | None
) -> Move:
    """The entry after the last one. `version`: what it is about; of a removal the last entry itself."""
    entry, previous = (last.entry + 1, last.number if last.points else None) if last else (1, None)
    place, record = where(), version if isinstance(version, Version) else None
    return Move(
        version.name,
        alias,
        entry,
        version.number,
        previous,
        kind,
        reason,
        now(),
        uuid.uuid4().hex,
        digest=version.digest,
        before=sha256_of(last.fields) if last else None,
        highest=max(version.number, _highest(store, last) if last else 0),
        who=who(),
        run_id=run_id,
        where=place,
        record=record,
        format=_NEWEST if place or record else FORMAT,
    )


def _highest(store: Store, last: Move) -> int:
    """The highest version that an alias has pointed at; a log of format 1 is read for it, once."""
    if last.highest is not None:
        return last.highest
    highest = last.number
    for entry in _entries(store, last.name, last.alias, store.list(alias_prefix(last.name, last.alias))):
        with suppress(CorruptObject, NotFound):  # an old entry is not worth a move
            highest = max(highest, _read(store, last.name, last.alias, entry).number)
    return highest


def _append(store: Store, made: Move) -> Move | None:
    """The entry as stored; None when somebody else took its place in the log."""
    place = (made.name, made.alias, made.entry)
    stored = append(store, move_key(*place), made, partial(_read, store, *place), fields=made.fields)
    if stored:
        mark(store, mark_key(alias_marks(made.name, made.alias), made.entry))
    return stored


def _logs(store: Reader, name: str, listed: Iterable[Stat], on_fault: OnFault) -> dict[str, list[Stat]]:
    """The objects of each alias that has a log, in the order of the names."""
    prefix = aliases_prefix(name)
    logs: dict[str, list[Stat]] = {}
    for stat in listed:
        alias, slash, _ = stat.key.removeprefix(prefix).partition("/")
        if slash and is_name(alias) and alias != LATEST:
            logs.setdefault(alias, []).append(stat)
        else:
            on_fault(stranger(store, stat.key))
    return dict(sorted(logs.items()))


def _end(store: Store, name: str, alias: str) -> Move | None:
    """The last entry of a log: one listing and two reads, however long it is."""
    told = (marked(stat.key) for stat in hinted(store, alias_marks(name, alias), HINTS))
    hints = (number for number, _ in filter(None, told))
    found = last_of(store, alias_prefix(name, alias), partial(_read, store, name, alias), hints)
    return found[1] if found else None


def _entries(store: Reader, name: str, alias: str, listed: Iterable[Stat], on_fault: OnFault = nobody) -> list[int]:
    read = partial(_read, store, name, alias)
    return list(numbers(store, alias_prefix(name, alias), read, listed, on_fault=on_fault))


def _read(store: Reader, name: str, alias: str, entry: int) -> Move:
    place = (name, alias, entry)
    read = read_entry(store, move_key(*place), _MOVE, "a move of an alias", place, since_2=_SINCE_2, newest=_NEWEST)
    if read.record and (read.record.name, read.record.number, read.record.digest) != (name, read.number, read.digest):
        raise CorruptObject(
            f"{move_key(*place)!r} in {store.uri} points at {name}:{read.number} and holds the record of "
            f"{read.record}, which is another"
        )
    return read


def _no_alias(store: Store, name: str, alias: str) -> NotFound:
    if not version_numbers(store, name):
        return no_model(store, name)
    known = ", ".join(f"{a} ({n})" for a, n in aliases(store, name).items()) or "only 'latest', which is computed"
    return NotFound(f"there is no alias {alias!r} of {name!r} in {store.uri}; there is {known}")
