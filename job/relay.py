"""What one process is answered by the network, told to those that learn with it: these ask nobody else.

The first process keeps each answer, and which files on its disk belong to it. The others are given all of it, and the
bytes of those files that their machine lacks.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

from tunewright.job.errors import DataError, JobError
from tunewright.job.progress.events import say
from tunewright.registry.stores.disk_space import check_room, size_text
from tunewright.registry.transfer.download import sha256_of

Answer = TypeVar("Answer")
Fill = Callable[[bytearray], None]
"""Puts the bytes of the first process into a buffer of the same length."""
_PIECE = 16 * 1024 * 1024
"""Bytes that are sent at once."""


class Group(Protocol):
    """The processes of a job, as one of them sees them."""

    rank: int
    local: int
    size: int

    def same(self, value: Answer) -> Answer:
        """That of the first process."""

    def gathered(self, value: Answer) -> list[Answer]:
        """That of each process, by rank."""

    def filling(self, ranks: Sequence[int]) -> Fill:
        """What these processes and the first one call with buffers of equal lengths. All processes ask for it."""

    def total(self, number: float) -> float:
        """The sum over all processes, which is there once all have come."""


@dataclass(frozen=True)
class _File:
    """A file of the first process."""

    path: Path
    """There."""
    place: str
    """Below the cache of a machine that lacks it."""
    sha256: str
    size: int

    def is_at(self, path: Path) -> bool:
        """Whether a file of its size is there."""
        return path.is_file() and path.stat().st_size == self.size


class Relay:
    """Answers by question: kept by the first process, given to the others."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._answers: dict[str, object] = {}
        self._held: dict[Path, tuple[str, int]] = {}
        self._places: dict[Path, Path] = {}

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that asks."""
        return self._group.rank == 0

    def once(self, question: str, ask: Callable[[], Answer]) -> Answer:
        """The answer, asked for by the first process alone. DataError for what that one did not ask."""
        if self.is_first:
            self._answers[question] = answer = ask()
            return answer
        if question not in self._answers:
            raise DataError(
                f"rank {self._group.rank} needs {question}, which rank 0 has not fetched: give all processes the same "
                "settings"
            )
        return cast(Answer, self._answers[question])

    def shared(self, path: Path, sha256: str, size: int) -> Path:
        """Where a file that an answer names lies on this machine."""
        if self.is_first:
            self._held[path] = (sha256, size)
            return path
        return self._places[path]

    def shared_folder(self, folder: Path) -> Path:
        """The same for a folder whose files belong to an answer."""
        if self.is_first:
            for path in filter(Path.is_file, folder.rglob("*")):
                self.shared(path, sha256_of(path), path.stat().st_size)
            return folder
        first = next(path for path in self._places if path.is_relative_to(folder))
        return self._places[first].parents[len(first.relative_to(folder).parts) - 1]

    def share(self, cache: Path) -> None:
        """Give the others what was answered so far. All processes come here."""
        held = [_File(path, _place(path, sha256, cache), sha256, size) for path, (sha256, size) in self._held.items()]
        self._answers, files = self._group.same((self._answers, held))
        here = {one: self._here(one, cache) for one in files}
        lacking = {one: path for one, path in here.items() if self._lacks(one, path)}
        asked = self._group.gathered(list(lacking))
        sent = sorted({one for some in asked for one in some}, key=lambda one: one.place)
        if sent:
            ranks = [rank for rank, some in enumerate(asked) if some]
            fill = self._group.filling(ranks)
            if self.is_first:
                _send(sent, fill)
                _say_sent(sent, len(ranks))
            elif lacking:
                _receive(sent, lacking, fill, cache)
        # Others of this machine may have waited for what has arrived.
        self._group.total(0.0)
        self._places = {one.path: _arrived(one, path) for one, path in here.items()}
        if self.is_first:
            self._answers, self._held = {}, {}

    def _here(self, one: _File, cache: Path) -> Path:
        """Where a file lies, or is to lie, on this machine: as it is where that is the machine of the first process."""
        return one.path if self._is_beside() and one.is_at(one.path) else cache.absolute() / one.place

    def _lacks(self, one: _File, path: Path) -> bool:
        """Whether a file has to be sent to this process: of another machine, one sees to it."""
        if self._is_beside():
            return not one.is_at(path)
        return self._group.local == 0 and not (one.is_at(path) and sha256_of(path) == one.sha256)

    def _is_beside(self) -> bool:
        """Whether this is the machine of the first process: ranks are counted machine by machine."""
        return self._group.rank == self._group.local


def _place(path: Path, sha256: str, cache: Path) -> str:
    """Where a file belongs below any cache: as below that of the first process, or by its bytes."""
    path, cache = path.absolute(), cache.absolute()
    return str(path.relative_to(cache)) if path.is_relative_to(cache) else f"data/{sha256[:32]}"


def _send(files: Sequence[_File], fill: Fill) -> None:
    for one in files:
        with one.path.open("rb") as file:
            for size in _pieces(one.size):
                piece = bytearray(file.read(size))
                fill(piece.ljust(size))


def _receive(files: Sequence[_File], lacking: Mapping[_File, Path], fill: Fill, cache: Path) -> None:
    """Write those that are lacking; the bytes of the others pass."""
    check_room(cache, sum(one.size for one in lacking))
    for one in files:
        pieces = _received(one, fill)
        if one in lacking:
            _write(pieces, lacking[one], one)
        else:
            deque(pieces, maxlen=0)


def _received(one: _File, fill: Fill) -> Iterator[bytearray]:
    for size in _pieces(one.size):
        piece = bytearray(size)
        fill(piece)
        yield piece


def _write(pieces: Iterable[bytearray], path: Path, one: _File) -> None:
    """A file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new, digest = path.with_name(f"{path.name}.{os.getpid()}.new"), hashlib.sha256()
    try:
        with new.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != one.sha256:
            raise JobError(f"{one.path} of rank 0 has changed since it was fetched; the same job may run again")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _pieces(size: int) -> Iterator[int]:
    """The bytes of each piece of so many."""
    for start in range(0, size, _PIECE):
        yield min(_PIECE, size - start)


def _arrived(one: _File, path: Path) -> Path:
    if not one.is_at(path):
        raise JobError(
            f"{path} is not there, which the first process of this machine has been sent: give all processes of a "
            "machine the same REGISTRY_CACHE"
        )
    return path


def _say_sent(files: Sequence[_File], ranks: int) -> None:
    size, count = sum(one.size for one in files), f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    machines = f"{ranks:,} other machine{'' if ranks == 1 else 's'}"
    say("nodes", f"rank 0 has sent {count} ({size_text(size)}) to {machines}", files=len(files), bytes=size)


_relay: Relay | None = None


@contextmanager
def relaying(group: Group) -> Iterator[None]:
    """Have the first process alone ask the network meanwhile."""
    global _relay
    _relay = Relay(group)
    try:
        yield
    finally:
        _relay = None


def once(question: str, ask: Callable[[], Answer]) -> Answer:
    """What the network answers: where several processes learn together, to the first one, which tells the others."""
    return _relay.once(question, ask) if _relay else ask()


def is_asking() -> bool:
    """Whether this process asks the network itself."""
    return _relay is None or _relay.is_first


def shared(path: Path, sha256: str, size: int) -> Path:
    """Where a file that such an answer names lies on this machine."""
    return _relay.shared(path, sha256, size) if _relay else path


def shared_folder(folder: Path) -> Path:
    """The same for all files of a folder."""
    return _relay.shared_folder(folder) if _relay else folder


def share(cache: Path) -> None:
    """Give the other processes what the first one was answered so far; they come here too."""
    if _relay:
        _relay.share(cache)
