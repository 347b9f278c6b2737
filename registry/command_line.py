"""The command `tunewright`: finds what the installed rooms can do, and hands the words to one of them.

Each room lists its commands under the entry-point group `tunewright.commands`, so that this room knows no other.
"""

import argparse
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import FrameType
from typing import NoReturn

ENTRY_POINTS = "tunewright.commands"
EXIT_CODES = """\
exit codes:
  0    done
  1    something outside failed, or is not in order: trying again may help
  2    the words, the settings, the base model or the version asked for cannot be used
  3    the data cannot be used
  4    a gate was missed: nothing was registered, or no alias was moved
  75   stopped by SIGTERM; the same job may simply run again
  130  stopped by Ctrl-C; a server that listens drains and ends with 0
"""
_USAGE = """\
usage: tunewright COMMAND [WORDS ...] [--registry URI]
       tunewright COMMAND --help
       tunewright --version

"""
_REGISTRY = """\
  --registry URI   on every command: s3://bucket/prefix or a folder, in place of REGISTRY_URI

"""


@dataclass(frozen=True)
class Group:
    """The commands of one room."""

    title: str
    commands: Mapping[str, str]
    """What each is for, by name."""
    main: str
    """`package.module:function`: takes the words from the command's name on, gives the exit code."""
    parser: str
    """`package.module:function`: takes a command's name, gives the argparse parser of its words."""
    extra: str = ""
    """What brings the packages it needs: `pip install 'tunewright[extra]'`; empty where the core is enough."""
    needs: tuple[str, ...] = ()
    """Modules without which it cannot start."""
    beside: tuple["Group", ...] = ()
    """Commands of the same room that need other packages, or none."""

    @property
    def hint(self) -> str:
        """How to get what is missing; empty where nothing is."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"pip install 'tunewright[{self.extra}]'" if missing else ""


class CtrlC(KeyboardInterrupt):
    """Ctrl-C, or a signal that is to mean the same.

    Python remembers a plain KeyboardInterrupt that has come out of code made at run time, as a dataclass or a named
    tuple makes its methods, and kills a `python -m` by SIGINT at its end, whatever exit code has been chosen since.
    """


def raise_ctrl_c(number: int, frame: FrameType | None) -> NoReturn:
    """A handler of signals."""
    raise CtrlC


class Parser(argparse.ArgumentParser):
    """A parser whose errors begin like all others, and are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"error: {message} ({self.prog} --help tells what can be said)\n")


GROUP = Group(
    title="the registry",
    main="tunewright.registry.program:main",
    parser="tunewright.registry.arguments:parser",
    commands={
        "list": "the models, or the versions of one model",
        "show": "one version: its files, and what its publisher said about it",
        "diff": "what is different between two versions: settings, data, base model, labels, figures, rows",
        "publish": "make a folder of files the next version of a model",
        "pull": "copy a version's files to a folder, every digest checked",
        "copy": "copy a version to another registry, under the same digest",
        "push": "send a version to an OCI registry, as an artifact of the same digest or as an image to mount",
        "export": "a version as a folder that programs of others open: transformers and optimum, MLflow, KServe",
        "storage-initializer": "a version, or a prefix of a bucket, as a folder: what KServe asks of an init container",
        "site": "write the registry as pages that any web server or bucket hands out",
        "promote": "point an alias at a version that passes the alias's gates",
        "gates": "what an alias asks of a version before it is moved there",
        "rollback": "point an alias at the version it pointed at before",
        "unalias": "let an alias point nowhere; its history stays",
        "canary": "let a second version answer a share of an alias's requests, or end that",
        "history": "every move of an alias",
        "tag": "give a version tags, such as released",
        "untag": "take tags from a version",
        "describe": "say in a text what a version is",
        "yank": "warn of a version: latest passes over it, what holds it goes on",
        "unyank": "take that back",
        "search": "the versions of a task, above a figure, or with a tag",
        "verify": "read every byte of a version, a model or all again and compare the digests",
        "sign": "sign a version, an image or, of an alias, the move that points there and what is tried beside it",
        "repair": "put back what fails its digest, from files or another registry",
        "delete": "take a version out of the list; its number is not given again",
        "gc": "tell what nothing refers to any more, and remove it when told to",
        "stats": "how many models and versions there are, and how many bytes are referred to, shared, or neither",
        "cache": "how much room the versions take that were pulled to this machine, and make some",
        "completion": "print what makes bash, zsh or fish complete commands, flags and their values",
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # before the room that was found tells of it in words of its own
        sys.stderr.write("error: interrupted\n")
        return 130


def _main(words: list[str]) -> int:
    try:
        words, registry = _without_registry(words)
    except ValueError as error:
        return _fail(str(error))
    if registry is not None:
        os.environ["REGISTRY_URI"] = registry
    if words[:1] == ["--version"]:
        sys.stdout.write(f"tunewright {metadata.version('tunewright')}\n")
        return 0
    groups = found()
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help(groups))
        return 0
    for group in groups:
        if words[0] in group.commands:
            return _run(group, words)
    return _fail(_unknown(words[0], groups))


def found() -> list[Group]:
    """The commands of all rooms that are here, in the order in which a model is made and used."""
    groups = []
    for entry in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            group = entry.load()
            groups += [group, *group.beside]
        except ModuleNotFoundError:  # an image that holds some of the rooms
            continue
        except (Exception, SystemExit) as error:  # another package raises whatever its code raises
            _fail(f"the commands of {entry.value} cannot be imported: {type(error).__name__}: {error}")
    return groups


def _run(group: Group, words: Sequence[str]) -> int:
    if group.hint:
        return _fail(f"{words[0]} needs more packages: {group.hint}")
    module, _, function = group.main.partition(":")
    code: int = getattr(importlib.import_module(module), function)(words)
    return code


def _without_registry(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The words without `--registry URI`, and the URI; ValueError where it is missing."""
    left: list[str] = []
    registry = None
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*left, word, *rest], registry
        if word == "--registry" or word.startswith("--registry="):
            registry = word.partition("=")[2] or next(rest, "")
            if not registry or registry.startswith("--"):
                raise ValueError("--registry is given without an address; expected s3://bucket/prefix or a folder")
        else:
            left.append(word)
    return left, registry


def _help(groups: Sequence[Group]) -> str:
    text = _USAGE
    for group in groups:
        text += f"{group.title}{f' (not here: {group.hint})' if group.hint else ''}:\n"
        text += "".join(f"  {name:10} {what}\n" for name, what in group.commands.items()) + "\n"
    return text + _REGISTRY + EXIT_CODES


def _unknown(word: str, groups: Sequence[Group]) -> str:
    names = [name for group in groups for name in group.commands]
    close = difflib.get_close_matches(word, names, n=1)
    advice = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(names)}"
    return f"unknown command {word!r}; {advice}"


def _fail(sentence: str) -> int:
    sys.stderr.write(f"error: {sentence}\n")
    return 2
