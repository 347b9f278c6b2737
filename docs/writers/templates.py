"""Templates of Helm made of objects that were rendered in several ways, with a condition where they differ."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Code:
    """An expression in the place of a scalar."""

    text: str


@dataclass(frozen=True)
class Block:
    """An expression in the place of a mapping or a list, written as YAML."""

    text: str


@dataclass(frozen=True)
class When:
    """A part that is there under a condition."""

    condition: str
    value: "Tree"


@dataclass(frozen=True)
class Either:
    """A part with one value under a condition, and with another without it."""

    condition: str
    value: "Tree"
    otherwise: "Tree"


Tree: TypeAlias = "str | int | float | bool | list[Tree] | dict[str, Tree] | Code | Block | When | Either | None"
"""An object of Kubernetes, some parts of which are expressions."""


def merged(base: Tree, others: Mapping[str, Tree]) -> Tree:
    """`base`, and under each condition what it is then. ValueError where two conditions change one scalar."""
    others = {condition: other for condition, other in others.items() if other != base}
    if not others:
        return base
    if isinstance(base, dict):
        mappings = {condition: other for condition, other in others.items() if isinstance(other, dict)}
        if len(mappings) == len(others):
            return _mapping(base, mappings)
    if isinstance(base, list):
        lists = {condition: other for condition, other in others.items() if isinstance(other, list)}
        if len(lists) == len(others) and all(_is_told_apart(one) for one in (base, *lists.values())):
            return _list(base, lists)
    if len(others) > 1:
        raise ValueError(f"{' and '.join(others)} change the same place in ways of their own: {base!r}")
    [(condition, other)] = others.items()
    return Either(condition, other, base)


def _mapping(base: dict[str, Tree], others: Mapping[str, dict[str, Tree]]) -> Tree:
    found: dict[str, Tree] = {}
    for key in dict.fromkeys(key for one in (base, *others.values()) for key in one):
        having = {condition: other[key] for condition, other in others.items() if key in other}
        if key in base:
            value = merged(base[key], having)
            without = [condition for condition in others if condition not in having]
            found[key] = When(f"not {_any(without)}", value) if without else value
        else:
            first, *rest = having.values()
            if any(one != first for one in rest):
                raise ValueError(f"{' and '.join(having)} add {key} in ways of their own")
            found[key] = When(_any(list(having)), first)
    return found


def _list(base: list[Tree], others: Mapping[str, list[Tree]]) -> Tree:
    """The items of `base`, each with those of others that stand before it, then those after the last."""
    left = {condition: list(other) for condition, other in others.items()}
    found: list[Tree] = []
    for item in base:
        named = {condition: [_name(one) for one in rest] for condition, rest in left.items()}
        having = {condition: names.index(_name(item)) for condition, names in named.items() if _name(item) in names}
        same: dict[str, Tree] = {}
        for condition, place in having.items():
            found += [When(condition, one) for one in left[condition][:place]]
            same[condition] = left[condition][place]
            left[condition] = left[condition][place + 1 :]
        value = merged(item, same)
        without = [condition for condition in others if condition not in having]
        found.append(When(f"not {_any(without)}", value) if without else value)
    return found + [When(condition, one) for condition, rest in left.items() for one in rest]


def _name(item: Tree) -> str:
    """What tells an item of a list from its neighbours."""
    if isinstance(item, dict):
        for key in ("mountPath", "name"):
            if isinstance(item.get(key), str):
                return f"{key} {item[key]}"
    return repr(item)


def _is_told_apart(items: Sequence[Tree]) -> bool:
    return len({_name(one) for one in items}) == len(items)


def _any(conditions: Sequence[str]) -> str:
    return conditions[0] if len(conditions) == 1 else f"(or {' '.join(conditions)})"


def text(tree: dict[str, Tree]) -> str:
    """A template of the mapping. ValueError where a condition could leave nothing of a part."""
    found: list[str] = []
    opened, closed = [""], ""
    for line in written(tree):
        if line.startswith("{{- if"):
            opened.append(line)
        if line == "{{- else }}":
            opened[-1] = ""
        if line.startswith("{{- if") and line == closed and found[-1] == "{{- end }}":
            found.pop()  # one block with the neighbour's condition
        else:
            found.append(line)
        if line == "{{- end }}":
            closed = opened.pop()
    return "\n".join(found) + "\n"


def written(tree: dict[str, Tree], depth: int = 0) -> Iterator[str]:
    """The lines of a mapping, indented by `depth` characters."""
    if all(isinstance(value, When) for value in tree.values()):
        raise ValueError(f"nothing of {', '.join(tree)} is there in every case")
    for key, value in tree.items():
        if isinstance(value, When):
            yield f"{{{{- if {value.condition} }}}}"
            yield from _entry(key, value.value, depth)
            yield "{{- end }}"
        elif isinstance(value, Either):
            yield f"{{{{- if {value.condition} }}}}"
            yield from _entry(key, value.value, depth)
            yield "{{- else }}"
            yield from _entry(key, value.otherwise, depth)
            yield "{{- end }}"
        else:
            yield from _entry(key, value, depth)


def _entry(key: str, value: Tree, depth: int) -> Iterator[str]:
    head = f"{' ' * depth}{_scalar(key)}:"
    if isinstance(value, Block):
        yield f"{head} {{{{- {value.text} | toYaml | nindent {depth + 2} }}}}"
    elif isinstance(value, dict) and value:
        yield head
        yield from written(value, depth + 2)
    elif isinstance(value, list) and value:
        yield head
        yield from _items(value, depth + 2)
    elif isinstance(value, str) and _LINES.fullmatch(value):
        yield f"{head} {'|' if value.endswith(chr(10)) else '|-'}"
        yield from (f"{' ' * (depth + 2)}{_plain(line)}" if line else "" for line in value.rstrip("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _items(items: Sequence[Tree], depth: int) -> Iterator[str]:
    if all(isinstance(value, When) for value in items):
        raise ValueError(f"no item is there in every case: {items!r}")
    for value in items:
        if isinstance(value, When):
            yield f"{{{{- if {value.condition} }}}}"
            yield from _item(value.value, depth)
            yield "{{- end }}"
        else:
            yield from _item(value, depth)


def _item(value: Tree, depth: int) -> Iterator[str]:
    if isinstance(value, Block):
        yield f"{' ' * depth}- {{{{- {value.text} | toYaml | nindent {depth + 2} }}}}"
    elif isinstance(value, dict) and value:
        # What is always there stands first, beside the dash.
        first = next(key for key, one in value.items() if not isinstance(one, When | Either))
        lines = written({first: value[first], **value}, depth + 2)
        yield f"{' ' * depth}- {next(lines).lstrip()}"
        yield from lines
    else:
        yield f"{' ' * depth}- {_scalar(value)}"


_BARE = re.compile(r"[A-Za-z/][\w./-]*")
_LINES = re.compile(r"[^\s](.*\n)+.*[^\n]\n?")
"""Text that is written as it is; any other with a newline is quoted."""
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
"""What YAML takes for something else than text."""


def _scalar(value: Tree) -> str:
    if isinstance(value, Code):
        return f"{{{{ {value.text} }}}}"
    if isinstance(value, str):
        bare = _BARE.fullmatch(value) and value.lower() not in _WORDS
        return value if bare else _plain(json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def _plain(text: str) -> str:
    """Text that is no template, though it may look like one: that of an alert for Prometheus."""
    return text.replace("{{", '{{ "{{" }}')
