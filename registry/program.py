"""`tunewright list|show|pull|promote|...`: look at the registry, fetch from it, move its aliases."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from tunewright.registry.arguments import command_of, parser
from tunewright.registry.command_line import found
from tunewright.registry.commands.output import say, write
from tunewright.registry.completion import script
from tunewright.registry.errors import (
    AccessDenied,
    AddressError,
    BadReference,
    Conflict,
    NotFound,
    RegistryError,
    SettingsError,
    Untrusted,
)
from tunewright.registry.progress import watched
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.terminal import line_of

_USER_ERRORS = (AccessDenied, AddressError, BadReference, Conflict, NotFound, SettingsError, Untrusted)


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first word names; the exit code."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _leave)
    options = parser(arguments[0]).parse_args(arguments[1:])
    try:
        code = _run(arguments[0], options)
        write("", sys.stdout, flushed=True)
    except RegistryError as error:
        say(f"error: {error}", sys.stderr)
        return 2 if isinstance(error, _USER_ERRORS) else 1
    except KeyboardInterrupt:
        say("error: interrupted", sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (`| head`) has seen enough
        return 0
    return code


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """What SIGTERM does to every other process: the first one of a container it passes by, and a kubelet waits long.

    A registry, a cache and a folder that is pulled into are whole wherever a command ends.
    """
    os._exit(128 + number)


def _run(command: str, options: argparse.Namespace) -> int:
    if command == "completion":
        write(script(options.shell, found()), sys.stdout)
        return 0
    settings = RegistrySettings()
    store = open_store(settings.uri, single_writer=settings.single_writer)
    line = None if getattr(options, "json", False) else line_of(sys.stderr)
    with watched(line):
        return command_of(command).run(store, options)
