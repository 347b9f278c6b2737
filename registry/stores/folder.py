"""A store in a folder: the same layout and the same promises as a bucket.

A file becomes visible by a hard link (create) or a rename (upload) of a temporary file that is already whole
and flushed to the disk; a link fails when the name is taken, which is what makes `create` create-only.
"""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunewright.registry.errors import (
    AccessDenied,
    AddressError,
    Conflict,
    CorruptObject,
    NotFound,
    RegistryError,
    UnsafeStore,
)
from tunewright.registry.progress import moved
from tunewright.registry.stores.disk_space import disk_full, flush, is_disk_full
from tunewright.registry.stores.key import PAGE, SMALL, Leftover, Stat, check_key

_TEMPORARY = ".tmp-"  # a name that starts so is a file in the making, or what a crash left of one
_PIECE = 1024 * 1024  # bytes of a file that are copied at once
_EXPECTED = "a folder that can be written, or s3://bucket/prefix"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


class FolderStore:
    """See `registry.stores.store.Store`."""

    single_writer = False

    def __init__(self, folder: Path) -> None:
        self._root = folder.expanduser().absolute()

    @property
    def uri(self) -> str:
        """The folder."""
        return str(self._root)

    def read(self, key: str, *, limit: int = SMALL) -> bytes:
        """See Store."""
        with self._clear(key), self._path(key).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise CorruptObject(f"{self._name(key)} is larger than {limit} bytes, which is too large for its kind")
        return data

    def stat(self, key: str) -> Stat:
        """See Store."""
        path = self._path(key)
        with self._clear(key):
            status = path.stat()
            if not path.is_file():
                raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        return _stat(key, status)

    def exists(self, key: str) -> bool:
        """See Store."""
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def list(self, prefix: str, *, after: str = "", page: int = PAGE) -> Iterator[Stat]:
        """See Store."""
        folder, _, _ = prefix.rpartition("/")
        if folder:
            check_key(folder)
        with self._clear(prefix):
            if self._is_file:
                raise NotADirectoryError(errno.ENOTDIR, "is a file", self.uri)
            keys = [key for key in self._walk(self._root / folder) if key.startswith(prefix)]
        start = after.encode()
        for key in sorted((key for key in keys if key.encode() > start), key=str.encode):
            with self._clear(key):
                try:
                    stat = _stat(key, (self._root / key).stat())
                except FileNotFoundError:
                    continue  # a broken link, or a file that went while we looked
            yield stat

    def create(self, key: str, data: bytes) -> bool:
        """See Store."""
        path = self._path(key)
        with self._clear(key), self._temporary(path) as temporary:
            _write(temporary, data)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                raise UnsafeStore(
                    f"the file system of {self._root} has no hard links ({error.strerror}), so a version could be "
                    "overwritten there; use a folder on another file system, or s3://"
                ) from None
            flush(path.parent)
        return True

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """See Store."""
        target = self._path(key)
        with self._clear(key), self._temporary(target) as temporary:
            whole = hashlib.sha256()
            with path.open("rb") as source, temporary.open("wb") as file:
                while data := source.read(_PIECE):
                    file.write(data)
                    whole.update(data)
                    moved("sent", len(data))
                if sha256 not in (None, whole.hexdigest()):
                    raise Conflict(f"{path} changed while it was published; write files first, publish then")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            flush(target.parent)

    def holds(self, key: str, path: Path, *, sha256: str) -> bool:
        """See Store."""
        target = self._path(key)
        with self._clear(key):
            if not target.is_file() or target.stat().st_size != path.stat().st_size:
                return False
            with target.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def delete(self, key: str) -> None:
        """See Store."""
        path = self._path(key)
        with self._clear(key), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def copy(self, key: str, target: str) -> None:
        """See Store."""
        source, path = self._path(key), self._path(target)
        with self._clear(key), self._temporary(path) as temporary:
            try:
                os.link(source, temporary)
            except FileNotFoundError:
                raise
            except OSError:  # no hard links here
                shutil.copyfile(source, temporary)
            temporary.replace(path)
            flush(path.parent)

    def leftovers(self, prefix: str) -> Iterator[Leftover]:
        """See Store."""
        for where, _, names in os.walk(self._root / prefix):
            for path in (Path(where, name) for name in names if name.startswith(_TEMPORARY)):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    yield Leftover(path.relative_to(self._root).as_posix(), "", status.st_size, status.st_mtime)

    def discard(self, leftover: Leftover) -> None:
        """See Store."""
        self.delete(leftover.key)

    def read_range(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """See Store."""
        with self._clear(key), self._path(key).open("rb") as file:
            if _stat(key, os.fstat(file.fileno())).etag != etag:
                raise Conflict(f"{self._name(key)} was replaced while it was read; start again")
            file.seek(start)
            data = file.read(stop - start)
        if len(data) != stop - start:
            raise Conflict(f"{self._name(key)} became shorter while it was read; start again")
        return data

    @property
    def _is_file(self) -> bool:
        return os.path.exists(self._root) and not os.path.isdir(self._root)  # noqa: PTH110, PTH112 - these never raise

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key

    def _name(self, key: str) -> str:
        return f"{key!r} in {self._root}"

    def _walk(self, folder: Path) -> Iterator[str]:
        for where, _, names in os.walk(folder, onerror=_raise_unless_missing):
            below = Path(where).relative_to(self._root).as_posix()
            for name in names:
                if not name.startswith(_TEMPORARY):
                    yield name if below == "." else f"{below}/{name}"

    @contextmanager
    def _temporary(self, target: Path) -> Iterator[Path]:
        self._make_folder(target.parent)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        """Like `mkdir -p`, but a new folder survives a power cut as well as the file in it."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            if is_disk_full(error) or not self._root.is_relative_to(folder):
                raise
            kind = AccessDenied if isinstance(error, PermissionError) or error.errno == errno.EROFS else AddressError
            raise kind(f"the folder {folder} cannot be made ({error.strerror}); expected {_EXPECTED}") from error
        flush(folder.parent)

    @contextmanager
    def _clear(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._sentence(key, error) from error

    def _sentence(self, key: str, error: OSError) -> RegistryError:
        if is_disk_full(error):
            return disk_full(self._root)
        if self._is_file:
            return AddressError(f"{self._root} is a file; expected {_EXPECTED}")
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            hint = "" if self._root.is_dir() else "; that folder does not exist"
            return NotFound(f"there is no {self._name(key)}{hint}")
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            return AccessDenied(
                f"{self._name(key)} cannot be accessed ({error.strerror}); "
                "check the owner of the folder and whether it is mounted read-only"
            )
        if isinstance(error, FileExistsError):
            return AddressError(f"{self._name(key)} cannot be made: a file stands where a folder is needed")
        return RegistryError(f"{self._name(key)}: {error.strerror or error}")


def _stat(key: str, status: os.stat_result) -> Stat:
    etag = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
    return Stat(key, status.st_size, etag, status.st_mtime)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
