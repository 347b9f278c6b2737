"""What a command is."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from tunewright.registry.stores.store import Store


@dataclass(frozen=True)
class Command:
    """A command of the registry."""

    add: Callable[[argparse.ArgumentParser], None]
    """Tells the parser what words it takes."""
    run: Callable[[Store, argparse.Namespace], int]
    """Does it; the exit code. Raises RegistryError."""


def add_reference(made: argparse.ArgumentParser, metavar: str = "REF") -> None:
    """The version, or the alias, that a command is about."""
    made.add_argument("reference", metavar=metavar)


def add_json(made: argparse.ArgumentParser) -> None:
    """`--json`."""
    made.add_argument("--json", action="store_true", help="print JSON in place of text")
