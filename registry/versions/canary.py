"""Trials: a second version that is to answer a share of the requests which an alias stands for.

They have a log beside that of the alias, of create-only entries. An entry holds until the alias moves, to the version
on trial or elsewhere.
"""

import uuid
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import BadReference, Conflict
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import last_move
from tunewright.registry.versions.latest import Counts, yank_of
from tunewright.registry.versions.layout import Name, Number, Time, canary_prefix, trial_key
from tunewright.registry.versions.numbered import EXACT, append, numbers, read_entry
from tunewright.registry.versions.record import check_version, now


@dataclass(frozen=True)
class Trial:
    """One entry of the log."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    alias: Name
    entry: Number  # 1, 2, 3 ...
    move: Number  # the entry of the alias's log that it is beside, and ends with
    beside: Number  # the version the alias pointed at
    number: Number | None  # the version on trial; None: there is none from now on
    percent: Annotated[float, Field(ge=0, le=100)]  # of the requests
    reason: str
    begun: Time  # UTC
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]  # tells two equal entries apart

    @property
    def weights(self) -> dict[int, float]:
        """Each version with its percentage of the requests."""
        tried = {} if self.number is None else {self.number: self.percent}
        return {self.beside: 100 - self.percent, **tried}

    @property
    def as_read(self) -> "Trial":
        """The entry as whoever reads it has it: a share that was given as 10 is 10.0 then."""
        return _TRIAL.validate_python(asdict(self))


_TRIAL = TypeAdapter(Trial)


def begin(
    store: Store, name: str, alias: str, number: int, percent: float, *, reason: str = "", counts: Counts = None
) -> Trial:
    """Put a version that is there on trial, in place of any other. `counts`: which yanks do.

    Raises BadReference, Conflict, NotFound.
    """
    if not 0 < percent <= 100:
        raise BadReference(f"{percent:g} is not a percentage of the requests; expected more than 0, and at most 100")
    version = check_version(store, name, number)
    if gone := yank_of(store, version, counts=counts):
        raise Conflict(f"{version} is {gone}; try another version beside {name}@{alias}")
    return _write(store, name, alias, number, percent, reason)


def end(store: Store, name: str, alias: str, *, reason: str = "") -> Trial | None:
    """End the trial; None where there is none. Raises NotFound."""
    return _write(store, name, alias, None, 0.0, reason) if running(store, name, alias) else None


def running(store: Store, name: str, alias: str) -> Trial | None:
    """The trial that goes on beside where the alias points now. Raises NotFound, CorruptObject."""
    move, last = last_move(store, name, alias), last_trial(store, name, alias)
    return last if last is not None and last.number is not None and last.move == move.entry else None


def last_trial(store: Store, name: str, alias: str) -> Trial | None:
    """The last entry of the log, whether it holds or not. Raises CorruptObject."""
    entry = last_entry(store, name, alias)
    return read_trial(store, name, alias, entry) if entry else None


def last_entry(store: Store, name: str, alias: str) -> int:
    """The number of the last entry of the log; 0 where there is none."""
    prefix = canary_prefix(name, alias)
    entries = numbers(store, prefix, lambda entry: read_trial(store, name, alias, entry), store.list(prefix))
    return max(entries, default=0)


def read_trial(store: Store, name: str, alias: str, entry: int) -> Trial:
    """One entry of the log. Raises NotFound, CorruptObject."""
    place = (name, alias, entry)
    return read_entry(store, trial_key(*place), _TRIAL, "an entry about a canary", place)


def _write(store: Store, name: str, alias: str, number: int | None, percent: float, reason: str) -> Trial:
    probe(store)
    while True:
        move, last = last_move(store, name, alias), last_trial(store, name, alias)
        if number == move.number:
            raise Conflict(f"{name}@{alias} points at version {number}: there is nothing to try beside it")
        if last and (last.move, last.number, last.percent) == (move.entry, number, percent):
            return last
        entry = last.entry + 1 if last else 1
        made = Trial(name, alias, entry, move.entry, move.number, number, percent, reason, now(), uuid.uuid4().hex)
        if append(store, trial_key(name, alias, entry), made, partial(read_trial, store, name, alias, entry)):
            return made
