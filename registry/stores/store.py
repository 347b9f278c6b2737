"""A store: flat keys with bytes behind them, in a bucket or in a folder.

Every implementation keeps the same promises, checked by one contract test:

- an object is visible entirely or not at all;
- `create` makes an object or reports that somebody else has: of any number of callers exactly one is
  told True, also when the answer to its write was lost on the way;
- what was written is seen by every later read and list;
- bytes that arrive cut off are read again; an object replaced while it is read is an error, never a mixture.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from tunewright.registry.address import shown_address
from tunewright.registry.errors import AddressError
from tunewright.registry.stores.folder import FolderStore
from tunewright.registry.stores.key import PAGE, SMALL, Leftover, check_key
from tunewright.registry.stores.key import Stat as Stat
from tunewright.registry.stores.s3 import S3Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ADDRESSES = "s3://bucket, s3://bucket/prefix, file:///absolute/folder or a folder"


class Store(Protocol):
    """The verbs of a store. Each raises a `RegistryError` and nothing else."""

    @property
    def uri(self) -> str:
        """The address, for messages; it never holds credentials."""

    @property
    def single_writer(self) -> bool:
        """Whether create-only writes are only promised by the caller, not kept by the store."""

    def read(self, key: str, *, limit: int = SMALL) -> bytes:
        """The whole of a small object. Raises NotFound, and CorruptObject above `limit` bytes."""

    def stat(self, key: str) -> Stat:
        """Size and ETag. Raises NotFound."""

    def exists(self, key: str) -> bool:
        """Whether the object is there."""

    def list(self, prefix: str, *, after: str = "", page: int = PAGE) -> Iterator[Stat]:
        """Every object whose key starts with `prefix` and comes after `after`, in the byte order of the keys.

        They are asked for as they are taken, `page` at a time, so that who takes a few asks for a few.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Commit a small object. True: this call made it; False: somebody else has, nothing was changed."""

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """Store a file under a key that is derived from its content, so that writing it twice is harmless.

        Raises Conflict, and stores nothing, when the bytes sent do not have the given digest (hexadecimal).
        """

    def holds(self, key: str, path: Path, *, sha256: str) -> bool:
        """Whether the object is this file, of this digest (hexadecimal), as far as that can be told cheaply.

        Bytes that are cheap to read are read. Of a large object in a bucket the size and the ETag count, which tell
        what was written and not what has become of it; where the ETag is another, or none of the bytes, it is read.
        """

    def copy(self, key: str, target: str) -> None:
        """Have an object under another key as well, in place of what is there; nothing is sent. Raises NotFound."""

    def delete(self, key: str) -> None:
        """Remove an object; where there is none, nothing is done. Of a registry only a collection removes anything."""

    def leftovers(self, prefix: str) -> Iterator[Leftover]:
        """What writes below a prefix have left that did not end, or have not ended yet."""

    def discard(self, leftover: Leftover) -> None:
        """Remove it; where it is gone, nothing is done. A write that goes on fails."""

    def read_range(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """Bytes `start` to `stop` (exclusive). Raises Conflict when the object is no longer the one of `etag`."""


class Reader(Protocol):
    """What reads small objects: a store, or copies of what lies in one."""

    @property
    def uri(self) -> str:
        """See Store."""

    def read(self, key: str, *, limit: int = SMALL) -> bytes:
        """See Store."""


def open_store(uri: str, *, single_writer: bool = False, foreign: bool = False, profile: str | None = None) -> Store:
    """The store at an address. Nothing is read or written yet.

    With `single_writer` an S3 server without create-only writes is accepted too: the caller promises that no
    two processes write to it at the same time. A folder keeps its promises in any case. With `foreign` a bucket
    holds what others have written, and keys such as `data//a.csv` are read. `profile`: of the AWS configuration, whose
    keys, region and endpoint count, and not those of the environment.
    """
    if profile is not None and not uri.startswith("s3://"):
        raise AddressError(
            f"the profile {profile!r} would have no effect: {shown_address(uri)} is no bucket; leave it out"
        )
    if not uri.strip():
        raise AddressError(f"the address of a store is empty; expected {_ADDRESSES}")
    if "://" not in uri:
        return FolderStore(Path(uri))
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        return _open_bucket(bucket, prefix.strip("/"), single_writer, foreign, profile)
    if scheme == "file":
        return _open_file(uri)
    raise AddressError(f"stores of the kind {scheme + '://'!r} are not known; expected {_ADDRESSES}")


def _open_bucket(bucket: str, prefix: str, single_writer: bool, foreign: bool, profile: str | None) -> Store:
    # The text before an @ may be a secret, so it is not repeated.
    if "@" in bucket or ":" in bucket:
        raise AddressError(
            "credentials do not belong into an s3:// address; expected s3://bucket/prefix, "
            "with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.fullmatch(bucket):
        raise AddressError(
            f"{bucket!r} is not the name of a bucket (letters, digits, '.', '_', '-'); expected s3://bucket/prefix"
        )

    if prefix:
        check_key(prefix)
    return S3Store(bucket, prefix, single_writer=single_writer, foreign=foreign, profile=profile)


def _open_file(uri: str) -> Store:
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise AddressError(f"{shown_address(uri)!r} is not an address: {error}; expected {_ADDRESSES}") from None
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or parts.path in ("", "/"):
        raise AddressError(
            f"{shown_address(uri)!r} does not name a folder on this machine; expected file:///absolute/folder"
        )

    return FolderStore(Path(unquote(parts.path)))
