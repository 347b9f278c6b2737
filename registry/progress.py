"""How far a transfer is, for whoever watches. Nobody does unless a program says so (`registry.terminal`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

Kind = Literal["read", "received", "sent"]
"""What happens to bytes: read to be compared, received whole, sent."""


class Watcher(Protocol):
    """Who is told. Transfers move in several threads at once."""

    def begin(self, what: str, total: int, times: int) -> None:
        """So many bytes begin to move, each of them so many times."""

    def moved(self, size: int) -> None:
        """So many more have; a negative number where they have to move again."""

    def end(self) -> None:
        """All have, or something went wrong."""


_watcher: Watcher | None = None
_counted: tuple[Kind, ...] = ()


@contextmanager
def watched(watcher: Watcher | None) -> Iterator[None]:
    """Tell this one of all transfers from here on."""
    global _watcher
    _watcher = watcher
    try:
        yield
    finally:
        _watcher = None


@contextmanager
def transfer(what: str, total: int, *kinds: Kind) -> Iterator[None]:
    """A transfer of so many bytes, to each of which each of these happens."""
    global _counted
    if _watcher is None or _counted:  # part of a larger one
        yield
        return
    _counted = kinds
    _watcher.begin(what, total, len(kinds))
    try:
        yield
    finally:
        _counted = ()
        _watcher.end()


def moved(kind: Kind, size: int) -> None:
    """This has happened to so many bytes."""
    if _watcher is not None and kind in _counted:
        _watcher.moved(size)
