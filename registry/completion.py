"""`tunewright completion bash|zsh|fish`: the script that makes a shell complete commands, flags and their values."""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from typing import Literal

from tunewright.registry.command_line import Group

SHELLS = ("bash", "zsh", "fish")


def script(shell: str, groups: Sequence[Group]) -> str:
    """What the shell reads: the commands of these groups, with the flags of those whose packages are here."""
    import shtab

    root = argparse.ArgumentParser(prog="tunewright", description="Fine-tune, register and serve models.")
    root.add_argument("--version", action="store_true", help="print the version")
    commands = root.add_subparsers(metavar="COMMAND")
    for group in groups:
        for name, what in group.commands.items():
            # Both parents and the command itself have a --help.
            added = commands.add_parser(name, help=what, parents=list(_parser(group, name)), conflict_handler="resolve")
            registry = added.add_argument("--registry", metavar="URI", help="s3://bucket/prefix or a folder")
            names_a(registry, "directory")
    return str(shtab.complete(root, shell)).rstrip() + "\n"


def _parser(group: Group, name: str) -> Iterator[argparse.ArgumentParser]:
    """What a command can be told; nothing where the packages it needs are not here."""
    if not group.hint:
        module, _, function = group.parser.partition(":")
        yield getattr(importlib.import_module(module), function)(name)


def names_a(action: argparse.Action, what: Literal["file", "directory"]) -> None:
    """Have the shell complete what a flag is given to a file or folder that is there."""
    action.complete = what  # type: ignore[attr-defined]  # shtab looks for it
