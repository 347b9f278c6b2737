"""Download one object to a file: in parallel, resumed when cut off, hashed on the way, visible only when whole.

While it runs the bytes are in `<target>.part`, with a journal beside them that holds the sha256 of each finished
range. A later attempt checks those ranges against the journal instead of fetching them again. Processes that
want the same file wait for each other on a lock of the part.
"""

import errno
import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from tunewright.registry.errors import AccessDenied, CorruptObject, RegistryError
from tunewright.registry.progress import moved
from tunewright.registry.stores.budget import Budget
from tunewright.registry.stores.disk_space import check_room, disk_full, flush, is_disk_full
from tunewright.registry.stores.key import Stat
from tunewright.registry.stores.ranges import RANGE
from tunewright.registry.transfer.part import Part, locked_part, write_at

_PARALLEL = 6  # ranged reads under way at once, of however many objects
_MEMORY = Budget(_PARALLEL * RANGE)  # of what is being read
_POOL = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="download")  # each thread keeps memory of its own
_PIECE = 1024 * 1024  # bytes of a range that are hashed at once
_TRIES = 3  # whole downloads when the digest does not match: a bit that flipped on the way seldom flips twice

_MD5 = re.compile(r"[0-9a-f]{32}")  # the ETag of an object that was written in one piece

_REPAIR = "(`tunewright repair` does that for a file of a version)"

OnBytes = Callable[[int], None]


class Source(Protocol):
    """Where objects are downloaded from: a store, or the blobs of an OCI registry."""

    @property
    def uri(self) -> str:
        """See Store."""

    def read(self, key: str, *, limit: int) -> bytes:
        """See Store."""

    def stat(self, key: str) -> Stat:
        """See Store."""

    def read_range(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """See Store."""


_OPAQUE: WeakSet[Source] = WeakSet()  # stores whose ETags only look like one


@dataclass(frozen=True)
class Downloaded:
    """What arrived."""

    size: int  # bytes
    sha256: str  # 64 hexadecimal digits
    etag: str = ""  # where it had to be asked for


def download(
    store: Source,
    key: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    on_bytes: OnBytes | None = None,
) -> Downloaded:
    """Copy an object to `target`, replacing what is there, only when every byte has arrived.

    `sha256` (hexadecimal) is the digest it must have, `size` the number of its bytes: another object is refused
    before its first byte is fetched; `on_bytes` is told how many bytes were added (a negative
    number when a damaged download is thrown away). Raises NotFound, CorruptObject, Conflict when the object is
    replaced meanwhile, NoSpace.
    """
    with _said(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked_part(target) as part:
            if sha256 and target.is_file() and sha256_of(target) == sha256:  # somebody else has just fetched it
                os.truncate(part.descriptor, 0)
                part.journal.remove()
                moved("received", target.stat().st_size)
                return Downloaded(target.stat().st_size, sha256)
            expected, tell = _Expected(sha256, size), _counted(on_bytes or _nobody)
            arrived = _fetch_small(store, key, part, expected, tell) or _fetch_right(store, key, part, expected, tell)
            return _publish(part, target, arrived)


def sha256_of(path: Path) -> str:
    """The sha256 of a local file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Expected:
    """What the object must be, where that is known."""

    sha256: str | None
    size: int | None  # bytes


def _fetch_small(store: Source, key: str, part: Part, expected: _Expected, tell: OnBytes) -> Downloaded | None:
    """A small object of which everything is known, in one request; None where another one, or none so small, is there,
    of which `_fetch_right` tells more."""
    size, sha256 = expected.size, expected.sha256
    if sha256 is None or size is None or size > RANGE:
        return None
    with _room(part, size), _MEMORY.taken(size):
        try:
            data = store.read(key, limit=size)
        except CorruptObject:  # it is larger
            return None
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            return None
        part.journal.remove()
        os.truncate(part.descriptor, size)
        write_at(part.descriptor, data, 0)
        os.fsync(part.descriptor)
    tell(size)
    return Downloaded(size, sha256)


def _fetch_right(store: Source, key: str, part: Part, expected: _Expected, tell: OnBytes) -> Downloaded:
    """Fetch until the bytes are right.

    Without an expected digest an ETag that looks like an MD5 is taken for a hint. Where it is none (objects
    encrypted with a key of the customer's) the same bytes arrive twice, which is proof enough.
    """
    seen: set[str] = set()
    for _ in range(_TRIES):
        arrived, md5 = _fetch(store, key, part, expected.size, tell)
        if expected.sha256 is None and (md5 in (None, arrived.etag) or arrived.sha256 in seen):
            if md5 not in (None, arrived.etag):
                _OPAQUE.add(store)
            return arrived
        if expected.sha256 == arrived.sha256:
            return arrived
        seen.add(arrived.sha256)
        part.journal.clear()
        tell(-arrived.size)
    raise CorruptObject(
        f"{key!r} in {store.uri} is damaged: read {_TRIES} times, its sha256 was {', '.join(sorted(seen))}, "
        f"expected {expected.sha256 or 'twice the same'}; restore it from a backup or write it again {_REPAIR}"
    )


def _fetch(store: Source, key: str, part: Part, size: int | None, tell: OnBytes) -> tuple[Downloaded, str | None]:
    """Bring the part to the object's present state, hashing every byte; also the MD5 where it can be compared."""
    stat = store.stat(key)
    if size not in (None, stat.size):
        raise CorruptObject(
            f"{key!r} in {store.uri} holds {stat.size} bytes, not the {size} declared; none was fetched; "
            f"write it again {_REPAIR}"
        )
    part.journal.begin(f"{store.uri}/{key}", stat.etag, stat.size)
    whole, start = hashlib.sha256(), 0
    comparable = store not in _OPAQUE and _MD5.fullmatch(stat.etag)
    md5 = hashlib.md5(usedforsecurity=False) if comparable else None
    with _room(part, stat.size):
        os.truncate(part.descriptor, stat.size)
        # Closed at once when something fails: no thread may write to the part after its descriptor is closed.
        with closing(_in_order(store, stat, part)) as ranges:
            for stop in ranges:
                for data in _kept(part, start, stop):
                    whole.update(data)
                    if md5:
                        md5.update(data)
                tell(stop - start)
                start = stop
        os.fsync(part.descriptor)
    return Downloaded(stat.size, whole.hexdigest(), stat.etag), md5.hexdigest() if md5 else None


@contextmanager
def _room(part: Part, size: int) -> Iterator[None]:
    """Refuse to begin what does not fit, and clean up when the disk fills all the same."""
    folder = part.path.parent
    check_room(folder, size - os.fstat(part.descriptor).st_blocks * 512)
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        part.path.unlink(missing_ok=True)  # or the disk stays full
        part.journal.remove()
        raise disk_full(folder, size) from error


def _kept(part: Part, start: int, stop: int) -> Iterator[bytes]:
    """What the part holds from one byte to another, in small pieces: the system has just been given it."""
    for at in range(start, stop, _PIECE):
        yield os.pread(part.descriptor, min(_PIECE, stop - at), at)


def _in_order(store: Source, stat: Stat, part: Part) -> Generator[int, None, None]:
    """The ends of the object's ranges in their order, each once it is in the part; several are fetched at a time."""
    starts = range(0, stat.size, RANGE)
    if len(starts) <= 1:
        yield from (_range(store, stat, start, part) for start in starts)
        return
    waiting: deque[Future[int]] = deque()
    try:
        for start in starts:
            waiting.append(_POOL.submit(_range, store, stat, start, part))
            if len(waiting) > _PARALLEL:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()
        wait(waiting)


def _range(store: Source, stat: Stat, start: int, part: Part) -> int:
    """Have one range in the part, where an earlier attempt may have left it whole; where it ends."""
    stop = min(start + RANGE, stat.size)
    with _MEMORY.taken(stop - start):
        expected = part.journal.digest_at(start)
        if expected and _digest(_kept(part, start, stop)) == expected:
            return stop
        data = store.read_range(stat.key, start, stop, etag=stat.etag)
        write_at(part.descriptor, data, start)
        if stat.size > RANGE:
            part.journal.add(start, hashlib.sha256(data).hexdigest())
    return stop


def _digest(pieces: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.hexdigest()


def _publish(part: Part, target: Path, arrived: Downloaded) -> Downloaded:
    part.path.replace(target)
    part.journal.remove()
    flush(target.parent)
    return arrived


@contextmanager
def _said(target: Path) -> Iterator[None]:
    """Turn what the local disk refuses into one sentence."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(target.parent) from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise AccessDenied(f"{target} cannot be written ({error.strerror}); choose another folder") from error
        raise RegistryError(f"{target} cannot be written: {error.strerror or error}") from error


def _counted(tell: OnBytes) -> OnBytes:
    """The same, and whoever watches is told."""

    def told(size: int) -> None:
        moved("received", size)
        tell(size)

    return told


def _nobody(_: int) -> None:
    return
