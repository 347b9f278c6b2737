"""Aliases: names such as `production` that move from version to version.

An alias is a log of create-only entries, so its history and its undoing come free. Each entry names the version
it replaced; whoever loses the race for an entry's number looks again before it decides.
"""

import uuid
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import Conflict, CorruptObject, NotFound
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.layout import (
    LATEST,
    Name,
    Number,
    Time,
    alias_prefix,
    aliases_prefix,
    is_name,
    move_key,
)
from tunewright.registry.versions.numbered import EXACT, OnFault, append, nobody, numbers, read_entry, stranger
from tunewright.registry.versions.record import check_version, no_model, now, version_numbers

Kind = Literal["move", "rollback"]


@dataclass(frozen=True)
class Move:
    """One entry of an alias's log."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    alias: Name
    entry: Number  # 1, 2, 3 ...
    number: Number  # the version the alias points at from now on
    previous: Number | None  # the version it pointed at before; None at the first move
    kind: Kind
    reason: str
    moved: Time  # UTC
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]  # tells two equal moves apart


_MOVE = TypeAdapter(Move)


def move(store: Store, name: str, alias: str, number: int, *, reason: str = "", force: bool = False) -> Move:
    """Point an alias at a version.

    Nothing happens when it already points there. Without `force` an alias does not go back to a lower number,
    so that a slow job cannot undo what a later one has published. Raises NotFound, Conflict.
    """
    check_version(store, name, number)
    probe(store)
    while True:
        last = _last(store, name, alias)
        if last and last.number == number:
            return last
        if last and number < last.number and not force:
            raise Conflict(
                f"{name}@{alias} points at version {last.number}, which is newer than {number}; "
                f"to go back on purpose roll back {name}@{alias}, or force the move"
            )
        made = _append(store, _next(last, name, alias, number, "move", reason))
        if made:
            return made


def rollback(store: Store, name: str, alias: str) -> Move:
    """Point an alias at where it was before; a second rollback goes one step further back.

    Raises NotFound, and Conflict when there is nothing to go back to or somebody moved the alias meanwhile.
    """
    log = history(store, name, alias)
    target = _before(log)
    if target is None:
        raise Conflict(f"{name}@{alias} has nothing to go back to: {log[0].number} is the first version it pointed at")
    check_version(store, name, target)
    probe(store)
    made = _append(store, _next(log[-1], name, alias, target, "rollback", f"back from {log[-1].number}"))
    if made is None:
        raise Conflict(f"{name}@{alias} was moved by somebody else just now; look at its history and try again")
    return made


def current(store: Store, name: str, alias: str) -> int:
    """The version an alias points at. Raises NotFound."""
    return last_move(store, name, alias).number


def last_move(store: Store, name: str, alias: str) -> Move:
    """The move that made an alias point where it does. Raises NotFound, CorruptObject."""
    last = _last(store, name, alias)
    if last is None:
        raise _no_alias(store, name, alias)
    return last


def history(store: Store, name: str, alias: str) -> list[Move]:
    """Every move of an alias, the oldest first. Raises NotFound, CorruptObject."""
    moves = [_read(store, name, alias, entry) for entry in _entries(store, name, alias)]
    if not moves:
        raise _no_alias(store, name, alias)
    return moves


def aliases(store: Store, name: str, *, on_fault: OnFault = nobody) -> dict[str, int]:
    """Where each alias of a model points; `on_fault` is told of strangers and of aliases that cannot be read."""
    pointing = {}
    for alias in _names(store, name, on_fault):
        try:
            last = _last(store, name, alias, on_fault)
        except CorruptObject as error:
            on_fault(str(error))
            continue
        if last:
            pointing[alias] = last.number
    return pointing


def _before(log: list[Move]) -> int | None:
    """Where the alias pointed before the last move that was not itself undone."""
    done: list[Move] = []
    for entry in log:
        if entry.kind == "move":
            done.append(entry)
        elif done:
            done.pop()
    return done[-1].previous if done else None


def _next(last: Move | None, name: str, alias: str, number: int, kind: Kind, reason: str) -> Move:
    entry, previous = (last.entry + 1, last.number) if last else (1, None)
    return Move(name, alias, entry, number, previous, kind, reason, now(), uuid.uuid4().hex)


def _append(store: Store, made: Move) -> Move | None:
    """The entry as stored; None when somebody else took its place in the log."""
    place = (made.name, made.alias, made.entry)
    return append(store, move_key(*place), made, partial(_read, store, *place))


def _names(store: Store, name: str, on_fault: OnFault) -> list[str]:
    """The aliases that have a log."""
    prefix = aliases_prefix(name)
    names = set()
    for stat in store.list(prefix):
        alias, slash, _ = stat.key.removeprefix(prefix).partition("/")
        if slash and is_name(alias) and alias != LATEST:
            names.add(alias)
        else:
            on_fault(stranger(store, stat.key))
    return sorted(names)


def _last(store: Store, name: str, alias: str, on_fault: OnFault = nobody) -> Move | None:
    entries = _entries(store, name, alias, on_fault)
    return _read(store, name, alias, entries[-1]) if entries else None


def _entries(store: Store, name: str, alias: str, on_fault: OnFault = nobody) -> list[int]:
    prefix = alias_prefix(name, alias)
    return list(numbers(store, prefix, lambda entry: _read(store, name, alias, entry), on_fault=on_fault))


def _read(store: Store, name: str, alias: str, entry: int) -> Move:
    place = (name, alias, entry)
    return read_entry(store, move_key(*place), _MOVE, "a move of an alias", place)


def _no_alias(store: Store, name: str, alias: str) -> NotFound:
    if not version_numbers(store, name):
        return no_model(store, name)
    known = ", ".join(f"{a} ({n})" for a, n in aliases(store, name).items()) or "only 'latest', which is computed"
    return NotFound(f"there is no alias {alias!r} of {name!r} in {store.uri}; there is {known}")
