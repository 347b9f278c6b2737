"""One key of a mapping by a flag or a variable of its own: `--data.columns.text sentence`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from tunewright.job.errors import SettingsError
from tunewright.registry.variables import NESTED, mappings

Tree = dict[str, object]


def take_flags(arguments: Sequence[str], kind: type[BaseModel]) -> tuple[list[str], Tree]:
    """The arguments without the flags that set one key of a mapping, and the tree of what these set."""
    rest: list[str] = []
    entries: Tree = {}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        path, has_levels = _found(flag.removeprefix("--"), ".", kind) if flag.startswith("--") else ((), False)
        if not path:
            rest.append(word)
            continue
        _refuse_nameless(path, f"the flag {flag}", "--" + ".".join(part or "NAME" for part in path))
        if not equals:
            value = next(words, "--")
            if value.startswith("--"):
                raise SettingsError(f"the flag {flag} has no value; expected {flag} VALUE, or {flag}=VALUE")
        entries = merged(entries, _entry(path, _read(value) if has_levels else value))
    return rest, entries


def take_variables(
    variables: Mapping[str, str | None], kind: type[BaseModel], prefix: str
) -> tuple[dict[str, str | None], Tree]:
    """The variables, whose names are in lower case, without those that set one key of a mapping, and what these set."""
    rest: dict[str, str | None] = {}
    entries: Tree = {}
    start = prefix.lower()
    for name, value in variables.items():
        path, has_levels = _found(name.removeprefix(start), NESTED, kind) if name.startswith(start) else ((), False)
        if not path or value is None:
            rest[name] = value
            continue
        example = prefix + NESTED.join(part or "name" for part in path).upper()
        _refuse_nameless(path, f"the variable {name.upper()}", example)
        entries = merged(entries, _entry(path, _read(value) if has_levels else value))
    return rest, entries


def merged(tree: Mapping[str, object], above: Mapping[str, object]) -> Tree:
    """The first tree with what the second has above it, key by key."""
    both = dict(tree)
    for key, value in above.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def _found(name: str, between: str, kind: type[BaseModel]) -> tuple[tuple[str, ...], bool]:
    """The levels down to the key that a name sets, none for the name of anything else; and whether the mapping itself
    has levels."""
    for path, annotation in mappings(kind):
        start = between.join(path) + between
        if name.startswith(start):
            key, has_levels = name.removeprefix(start), Any in get_args(annotation)
            # A label may hold whatever it likes.
            return (*path, *(key.split(between) if has_levels else [key])), has_levels
    return (), False


def _refuse_nameless(path: Sequence[str], what: str, example: str) -> None:
    if "" in path:
        raise SettingsError(f"{what} has an empty name in it; expected one between all marks, as in {example}")


def _read(value: str) -> object:
    """A value of a task's own settings: what JSON says (5, true, ["a"]), else the text itself."""
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


def _entry(path: Sequence[str], value: object) -> Tree:
    """The tree that holds nothing but this value."""
    tree = {path[-1]: value}
    for key in reversed(path[:-1]):
        tree = {key: tree}
    return tree
