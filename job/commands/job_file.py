"""A settings file for people: what each setting was told from stands above it."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.job.errors import SettingsError, visible
from tunewright.registry.address import shown_address

_PLAIN = re.compile(r"[A-Za-z_./~][\w./:@~+-]*")
_WORDS_OF_YAML = frozenset("true false yes no on off null none y n".split())


@dataclass(frozen=True)
class Draft:
    """Settings that were guessed, and why."""

    settings: dict[str, object]
    reasons: dict[str, list[str]]
    """Setting to what it was told from; those under "" belong to none."""


def write(made: Draft, output: Path, sources: Sequence[str]) -> None:
    """Write the settings with their reasons; SettingsError where there is a file already."""
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(as_yaml(made, output, sources))
    except FileExistsError:
        refuse_to_overwrite(output)


def refuse_to_overwrite(output: Path) -> None:
    """SettingsError where there is a file already, or no place of this machine."""
    if output.parts[:1] and output.parts[0].endswith(":"):
        raise SettingsError(f"--output is {str(output)!r}; expected a file of this machine, such as job.yaml")
    if output.exists():
        raise SettingsError(f"{output} is there already, and is never overwritten; name another file with --output")


def as_yaml(made: Draft, output: Path, sources: Sequence[str]) -> str:
    """The settings as a file for people: what each was told from stands above it."""
    lines = [
        f"# Guessed by `tunewright init {' '.join(map(shown_address, sources))}`: read it, and correct what is wrong.",
        f"#   tunewright check --config {output}   reads settings and data",
        f"#   tunewright train --config {output}   learns, measures and registers",
        "# Every setting there is: docs/reference/settings.md, or `tunewright train --help`.",
        *_comments(made.reasons.get("", [])),
        "",
    ]
    for name, value in made.settings.items():
        lines += _comments(made.reasons.get(name, []))
        lines += _entry(name, value, "")
    lines += [
        "",
        "# What follows is worth a thought; the values are those that hold anyway.",
        "# train: {epochs: 3, learning_rate: 1.0e-4, batch_size: 32}",
        "# gate: {min: {METRIC: 0.8}}   # register nothing below it",
        "# alias: production            # moved to the new version when its gates pass",
    ]
    return "\n".join(map(visible, lines)) + "\n"


def _comments(reasons: Iterable[str]) -> list[str]:
    return [
        line
        for reason in reasons
        for line in textwrap.wrap(
            visible(reason),
            110,
            initial_indent="# ",
            subsequent_indent="#   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _entry(name: str, value: object, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{indent}{_scalar(name)}:"] + [
            line for key, inner in value.items() for line in _entry(str(key), inner, indent + "  ")
        ]
    if isinstance(value, list):
        return [f"{indent}{_scalar(name)}:"] + [f"{indent}  - {_scalar(one)}" for one in value]
    return [f"{indent}{_scalar(name)}: {_scalar(value)}"]


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value if not value.endswith(":") else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
