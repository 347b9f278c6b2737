"""What the pages of a model tell, gathered from records, logs and notes. What cannot be read is told, and left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.signature import all_signers, of_version
from tunewright.registry.upkeep.notes import Note, notes
from tunewright.registry.versions.alias import Move, history, last_entries
from tunewright.registry.versions.latest import Counts, Passed, yanked
from tunewright.registry.versions.layout import aliases_prefix
from tunewright.registry.versions.numbered import OnFault
from tunewright.registry.versions.record import Version, model_names, read_or_tell, version_numbers


@dataclass(frozen=True)
class Model:
    """A model as its pages show it."""

    name: str
    versions: Sequence[Version]
    """Ascending."""
    logs: Mapping[str, Sequence[Move]]
    """Of each alias all moves, the oldest first."""
    notes: Mapping[int, Note]
    yanks: Mapping[int, Passed]
    """Of the versions that nobody should begin to use."""
    signatures: Mapping[int, Sequence[str]]
    """The ids of the keys under which a signature of a version lies there; nobody has looked whether it holds."""

    @property
    def latest(self) -> Version:
        """The highest that is not yanked, where there is one."""
        offered = [one for one in self.versions if one.number not in self.yanks]
        return (offered or self.versions)[-1]

    def aliases_at(self, number: int) -> list[str]:
        """The aliases that point at a version."""
        return [alias for alias, moves in self.logs.items() if moves[-1].points and moves[-1].number == number]


def models(store: Store, on_fault: OnFault, counts: Counts = None) -> list[Model]:
    """Every model that has a version. `counts`: which yanks do."""
    found = []
    for name in model_names(store, on_fault=on_fault):
        try:
            found.append(_model(store, name, on_fault, counts))
        except (CorruptObject, NotFound) as error:  # it is being removed, or its notes cannot be read
            on_fault(f"{name} is left out: {error}")
    return [one for one in found if one.versions]


def _model(store: Store, name: str, on_fault: OnFault, counts: Counts) -> Model:
    numbers = version_numbers(store, name, on_fault=on_fault)
    versions = [one for number in numbers if (one := read_or_tell(store, name, number, on_fault))]
    logs = {}
    for last in last_entries(store, name, store.list(aliases_prefix(name)), on_fault=on_fault):
        try:
            logs[last.alias] = history(store, name, last.alias)
        except (CorruptObject, NotFound) as error:
            on_fault(str(error))
    said, out = notes(store, name, on_fault=on_fault), yanked(store, name, on_fault=on_fault, counts=counts)
    signed = all_signers(store, name)
    keys = {one.number: signed[digest] for one in versions if (digest := of_version(one).digest) in signed}
    return Model(name, versions, logs, said, out, keys)
