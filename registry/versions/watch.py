"""Whether a reference points elsewhere by now, asked with one small request.

Versions and the moves of an alias are numbered one after the other and never change, so something has moved once the
record of the next number is there. Nothing has to be listed or read to know that.
"""

from dataclasses import dataclass

from tunewright.registry.errors import CorruptObject, RegistryError
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import Move, held, last_move
from tunewright.registry.versions.canary import Trial, last_entry, read_trial
from tunewright.registry.versions.latest import Counts, latest, yank_of
from tunewright.registry.versions.layout import move_key, trial_key, version_key
from tunewright.registry.versions.numbered import OnFault, warn
from tunewright.registry.versions.record import Version
from tunewright.registry.versions.reference import parse, resolve


@dataclass(frozen=True)
class Seen:
    """Where a reference points, and what will be there once it points elsewhere."""

    version: Version
    next_key: str | None
    """The record that the next move writes; None where there is none: `reviews:7` and a digest never move."""
    move: Move | None = None
    """Of an alias: what made it point there."""


@dataclass(frozen=True)
class SeenTrial:
    """What is tried beside an alias, and what will be there once that is another version, or none."""

    trial: Trial | None
    next_key: str
    ends_with: str | None
    """The record of the move that ends the trial."""
    fault: str = ""
    """Why the last entry of the log cannot be read: nothing is tried then."""


def look_at_trial(store: Store, reference: str) -> SeenTrial | None:
    """What is tried beside an alias; None for a reference that is none. Raises BadReference."""
    asked = parse(reference)
    if asked.alias is None:
        return None
    entry = last_entry(store, asked.name, asked.alias)
    next_key = trial_key(asked.name, asked.alias, entry + 1)
    try:
        trial = read_trial(store, asked.name, asked.alias, entry) if entry else None
    except CorruptObject as error:  # the version of the alias needs no canary to answer
        return SeenTrial(None, next_key, None, str(error))
    return SeenTrial(trial, next_key, move_key(asked.name, asked.alias, trial.move + 1) if trial else None)


def name_of(reference: str) -> str:
    """The model that a reference is about. Raises BadReference."""
    return parse(reference).name


def moves(reference: str) -> bool:
    """Whether it may point elsewhere one day: an alias, or the latest version. Raises BadReference."""
    asked = parse(reference)
    return asked.number is None and asked.digest is None


def look(store: Store, reference: str, *, on_fault: OnFault = warn, counts: Counts = None) -> Seen:
    """Where a reference points now; `on_fault` and `counts` as for `latest`.

    Raises BadReference, NotFound, CorruptObject.
    """
    asked = parse(reference)
    if not moves(reference):
        return Seen(resolve(store, reference), None)
    if asked.alias is None:
        newest = latest(store, asked.name, on_fault=on_fault, counts=counts)
        return Seen(newest.version, version_key(asked.name, newest.highest + 1))
    last = last_move(store, asked.name, asked.alias)
    # Read before the version is: a move in between is one that `has_moved` tells.
    next_key = move_key(asked.name, asked.alias, last.entry + 1)
    return Seen(held(store, last), next_key, last)


def warning_of(store: Store, version: Version, *, counts: Counts = None) -> str | None:
    """What to tell who uses a version that is yanked; None of any other, and where that cannot be read."""
    try:
        gone = yank_of(store, version, counts=counts)
    except RegistryError:  # nothing that answers depends on it
        return None
    return f"{version} is {gone}" if gone else None


def has_moved(store: Store, seen: Seen | SeenTrial) -> bool:
    """Whether a reference points elsewhere than it was seen to, or has another trial: one HEAD of one object."""
    return seen.next_key is not None and store.exists(seen.next_key)
