"""What installed packages add to Tunewright, found by their entry points.

Only what is installed counts, never a path from settings: settings may come from a bucket.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module, metadata
from typing import Generic, TypeVar, cast

from tunewright.registry.errors import PluginError

Thing = TypeVar("Thing")


class Modules(Mapping[str, Thing], Generic[Thing]):
    """Modules of a package by what they are called, with hyphens; each is imported when it is asked for."""

    def __init__(self, package: str, *names: str) -> None:
        self._package, self._names = package, names

    def __iter__(self) -> Iterator[str]:
        """All names; nothing is imported for them."""
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Thing:
        if name not in self._names:
            raise KeyError(name)
        return cast(Thing, import_module(f"{self._package}.{name.replace('-', '_')}"))


class Catalogue(Mapping[str, Thing], Generic[Thing]):
    """Things by name: those that are built in, and those of plug-ins, which are imported when they are asked for.

    `what`: what one is called in a sentence. `group`: the entry points that name more. `kind`: the class of all.
    """

    def __init__(self, what: str, group: str, kind: type[object], built_in: Mapping[str, Thing]) -> None:
        self.what, self.group, self.built_in = what, group, built_in
        self._kind = kind
        self._loaded: dict[str, Thing] = {}

    def __iter__(self) -> Iterator[str]:
        """All names; nothing is imported for them."""
        yield from self.built_in
        yield from sorted({entry.name for entry in self._entries} - set(self.built_in))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return any(one == name for one in self)

    def __getitem__(self, name: str) -> Thing:
        """KeyError for a name that there is not, PluginError for a plug-in that cannot be used."""
        entries = [entry for entry in self._entries if entry.name == name]
        self._refuse_clash(name, entries)
        if name in self.built_in:
            return self.built_in[name]
        if not entries:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._load(entries[0])
        return self._loaded[name]

    def refuse_clashes(self) -> None:
        """PluginError where two things have one name."""
        entries = self._entries
        for name in {entry.name for entry in entries}:
            self._refuse_clash(name, [entry for entry in entries if entry.name == name])

    def requirement(self, name: str) -> str:
        """The package that brings it, as `name==version`; empty for what is built in."""
        entries = [] if name in self.built_in else [entry for entry in self._entries if entry.name == name]
        return _package(entries[0], "==") if entries else ""

    @cached_property
    def _entries(self) -> list[metadata.EntryPoint]:
        # Reading what all packages say takes a twentieth of a second, and a metric is asked for hundreds of times.
        # One package may be found twice, by its source and where it is installed.
        found = {(entry.name, _package(entry, " ")): entry for entry in metadata.entry_points(group=self.group)}
        return list(found.values())

    def _refuse_clash(self, name: str, entries: list[metadata.EntryPoint]) -> None:
        owners = [_package(entry, " ") for entry in entries]
        owners = ["Tunewright itself", *owners] if name in self.built_in else owners
        if len(owners) > 1:
            raise PluginError(
                f"the {self.what} {name!r} is of {' and of '.join(owners)}; a name belongs to one: uninstall the others"
            )

    def _load(self, entry: metadata.EntryPoint) -> Thing:
        where = f"the {self.what} {entry.name!r} of {_package(entry, ' ')} ({entry.value})"
        try:
            loaded = entry.load()
        except (Exception, SystemExit) as error:  # a plug-in raises whatever its code raises
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PluginError(f"{where} cannot be imported: {said}") from error
        if not isinstance(loaded, self._kind):
            raise PluginError(f"{where} is {type(loaded).__name__}; expected {self._kind.__name__}")
        own = getattr(loaded, "name", entry.name)
        if own != entry.name:
            raise PluginError(f"{where} calls itself {own!r}; its entry point must have the same name")
        return cast(Thing, loaded)


def _package(entry: metadata.EntryPoint, between: str) -> str:
    return f"{entry.dist.name}{between}{entry.dist.version}" if entry.dist else "a package without a name"
