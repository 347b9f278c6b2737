"""Which versions a model can do without: all but the last ones, tagged ones, and what an alias holds or held lately."""

from datetime import datetime
from itertools import pairwise

from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.mark import refuse
from tunewright.registry.upkeep.notes import notes
from tunewright.registry.versions.alias import Move, history, last_entries
from tunewright.registry.versions.canary import last_trial
from tunewright.registry.versions.latest import Counts, yanked
from tunewright.registry.versions.layout import aliases_prefix
from tunewright.registry.versions.numbered import OnFault, warn
from tunewright.registry.versions.record import Version, model_names, read_version, version_numbers


def out_of_use(store: Store, *, keep_last: int, held_within: float, now: float, counts: Counts = None) -> list[Version]:
    """Of every model the versions below its last `keep_last`, but tagged ones and those that an alias has held within
    so many seconds. A yanked one is none of those last, which are to go back to.

    `now` in seconds since 1970; `counts`: which yanks do. Raises CorruptObject where that cannot be told.
    """
    found: list[Version] = []
    told: OnFault = warn if counts else refuse
    for name in model_names(store):
        there, out = version_numbers(store, name), yanked(store, name, on_fault=told, counts=counts)
        offered = [number for number in there if number not in out]
        below = [number for number in there if number < offered[-keep_last]] if len(offered) >= keep_last else []
        if below:
            held = _held(store, name, now - held_within)
            found += [read_version(store, name, number) for number in below if number not in held]
    return found


def _held(store: Store, name: str, since: float) -> set[int]:
    """The versions with a tag, and those that an alias, or a trial beside one, points at or pointed at since."""
    held = {number for number, note in notes(store, name, on_fault=refuse).items() if note.tags}
    for last in last_entries(store, name, store.list(aliases_prefix(name)), on_fault=refuse):
        log = history(store, name, last.alias)
        held |= {one.number for one, after in pairwise(log) if one.points and _seconds(after) >= since}
        held |= {last.number} if last.points else set()
        trial = last_trial(store, name, last.alias)
        held |= {trial.number} if trial and trial.number else set()
    return held


def _seconds(move: Move) -> float:
    return datetime.fromisoformat(move.moved).timestamp()
