"""Settings of a tree of models: built, or every mistake in the words the user typed."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError as UnreadableSetting

NESTED = "__"
"""Between the levels of a tree: JOB_TRAIN__EPOCHS."""

_SHOWN = 120
"""Characters of a value that a sentence shows."""

Path = tuple[str, ...]
Built = TypeVar("Built")


def build_settings(
    build: Callable[[], Built],
    kind: type[BaseModel],
    prefix: str,
    environ: Mapping[str, str],
    *,
    only_variables: bool = True,
) -> Built | list[str]:
    """What `build` makes of the variables with the prefix, or one sentence per mistake.

    `only_variables` says that nothing but the environment sets anything, so each setting is called by its variable;
    otherwise it is, where the value stands in its variable, and `train.epochs` where not.
    """
    given = {name.upper(): value for name, value in environ.items() if name.upper().startswith(prefix)}
    mistakes = unknown_variables(kind, prefix, environ)
    try:
        built = build()
    except ValidationError as error:
        return mistakes + _fault_sentences(
            error, _Words(list(leaves(kind)), [path for path, _ in mappings(kind)], prefix, given, only_variables)
        )
    except (UnreadableSetting, RecursionError) as error:
        return mistakes + (_unreadable(kind, prefix, given) or [str(error)])
    return mistakes or built


def leaves(kind: type[BaseModel]) -> Iterator[Path]:
    """The path of every setting in the tree, for example `("train", "epochs")`."""
    return (path for path, _ in _leaves(kind))


def flat(tree: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Each value of a tree under the name that a person gives it, with dots."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def mappings(kind: type[BaseModel]) -> Iterator[tuple[Path, Any]]:
    """The path and the annotation of every setting that may be a mapping with keys of the user's own."""
    for path, annotation in _leaves(kind):
        for one in _choices(annotation):
            if get_origin(one) is dict:
                yield path, one


def words(kind: type[BaseModel]) -> dict[Path, list[str]]:
    """What may be given to every setting that takes, also beside other values, a few words."""
    found = {}
    for path, annotation in _leaves(kind):
        choices = [part for one in _choices(annotation) for part in (one, *(get_args(one) if _is_list(one) else ()))]
        literals = [str(word) for one in choices if get_origin(one) is Literal for word in get_args(one)]
        found[path] = literals + ["true", "false"] * (bool in choices)
    return {path: some for path, some in found.items() if some}


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list


def unknown_variables(kind: type[BaseModel], prefix: str, environ: Mapping[str, str]) -> list[str]:
    """One sentence per variable with the prefix that names no setting, with the nearest that does."""
    known = {_variable(path, prefix) for path in leaves(kind)}
    groups = {_variable(path[:depth], prefix) for path in leaves(kind) for depth in range(1, len(path))}
    tables = tuple(_variable(path, prefix) + NESTED for path, _ in mappings(kind))
    mistakes = []
    for name, value in sorted(environ.items()):
        upper = name.upper()
        if not upper.startswith(prefix) or _is_service_link(upper, value, prefix):
            continue
        if upper not in known and upper not in groups and not upper.startswith(tables):
            near = get_close_matches(upper, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            mistakes.append(f"the variable {name} is not known; {hint}")
    return mistakes


@dataclass(frozen=True)
class _Words:
    """What to call a setting."""

    settings: list[Path]
    mappings: list[Path]
    """Those whose keys are the user's own."""
    prefix: str
    given: Mapping[str, str]
    only_variables: bool

    def leaf(self, path: Path) -> Path:
        """The setting at this place, with the key where it is a mapping; nothing where there is none."""
        leaf = next((leaf for leaf in self.settings if path[: len(leaf)] == leaf), ())
        if leaf not in self.mappings:
            return leaf
        # The choice of a union that was tried stands before or behind the key.
        return leaf + tuple(part for part in path[len(leaf) :] if "[" not in part)[:1]

    def place(self, path: Path, value: object) -> str:
        """The variable, or the path with dots."""
        leaf = self.leaf(path)
        if not leaf:
            return ".".join(path)
        variable = _variable(leaf, self.prefix)
        came_from_it = variable in self.given and str(value) in self.given[variable]
        return variable if self.only_variables or came_from_it else ".".join(leaf)

    def is_variable(self, path: Path) -> bool:
        """Whether a variable of that name is set."""
        return _variable(path, self.prefix) in self.given


def _fault_sentences(error: ValidationError, words: _Words) -> list[str]:
    """One sentence per setting at fault; the faults of one value (a union) are joined."""
    sentences: dict[str, list[str]] = {}
    faults = [(fault, tuple(str(part) for part in fault["loc"])) for fault in error.errors(include_url=False)]
    places = {words.leaf(path) for _, path in faults}
    for fault, path in faults:
        leaf = words.leaf(path)
        is_whole = leaf in words.mappings and any(place[:-1] == leaf for place in places)
        # A variable without a setting has been reported already, with the nearest one; a mapping is told by its key.
        if not is_whole and not (fault["type"] == "extra_forbidden" and words.is_variable(path)):
            start, legal = _sentence(fault, path, words)
            sentences.setdefault(start, []).append(legal)
    return [start + " or ".join(dict.fromkeys(legal)) for start, legal in sentences.items()]


def _sentence(fault: Any, path: Path, words: _Words) -> tuple[str, str]:
    """What was said, and what is legal."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{'.'.join(path)} is not a setting", f"; {_nearest(path, words.settings)}"
    if fault["type"] == "missing":
        return f"{words.place(path, '')} must be set", ""
    if not path:
        return message, ""
    inner = dict.fromkeys(leaf[len(path)] for leaf in words.settings if leaf[: len(path)] == path != leaf)
    if inner and fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = f"expected a mapping of {', '.join(inner)}"
    return f"{words.place(path, fault['input'])} is {_cut(fault['input'])}: ", f"{message[:1].lower()}{message[1:]}"


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _nearest(path: Path, settings: list[Path]) -> str:
    """The setting that was probably meant, else those that stand beside it."""
    names = [".".join(leaf) for leaf in settings]
    near = get_close_matches(".".join(path), names, 1)
    if near:
        return f"did you mean {near[0]}?"
    beside = dict.fromkeys(leaf[len(path) - 1] for leaf in settings if leaf[: len(path) - 1] == path[:-1])
    return f"known are {', '.join(beside or names)}"


def _unreadable(kind: type[BaseModel], prefix: str, given: Mapping[str, str]) -> list[str]:
    """One sentence per variable whose value must be JSON and is not."""
    mistakes = []
    for path, annotation in [*_leaves(kind), *((path[:1], dict) for path in leaves(kind) if len(path) > 1)]:
        name = _variable(path, prefix)
        if name in given and _takes((list, dict), annotation) and not _is_json(given[name]):
            example = '["a", "b"]' if _takes(list, annotation) else '{"name": "value"}'
            mistakes.append(f"{name} is {_cut(given[name])}, which is not JSON; expected something like {example}")
    return list(dict.fromkeys(mistakes))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _variable(path: Path, prefix: str) -> str:
    return prefix + NESTED.join(path).upper()


def _leaves(kind: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The path and the annotation of every setting."""
    for name, field in kind.model_fields.items():
        branch = _branch(field.annotation)
        if branch is None:
            yield (*path, name), field.annotation
        else:
            yield from _leaves(branch, (*path, name))


def _branch(annotation: Any) -> type[BaseModel] | None:
    for one in _choices(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _takes(kinds: type | tuple[type, ...], annotation: Any) -> bool:
    """Whether a setting of this type may be a list or a mapping."""
    origins = [get_origin(one) or one for one in _choices(annotation)]
    return any(isinstance(one, type) and issubclass(one, kinds) for one in origins)


def _choices(annotation: Any) -> Iterator[Any]:
    """The types of a union, each without what is said beside it."""
    if get_origin(annotation) is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _choices(one)
    else:
        yield annotation


def _is_service_link(name: str, value: str, prefix: str) -> bool:
    """Kubernetes gives every pod such variables for a Service that happens to have the prefix as its name."""
    rest = name.removeprefix(prefix)
    return bool(re.fullmatch(r"SERVICE_(HOST|PORT.*)|PORT_\d+.*", rest)) or (
        rest == "PORT" and value.startswith("tcp://")
    )
