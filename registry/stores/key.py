"""What an object is known by: its key, its size and its ETag."""

from dataclasses import dataclass, field

from tunewright.registry.errors import AddressError

SMALL = 16 * 1024 * 1024  # bytes: the largest object that is read into memory whole, unless told otherwise

PAGE = 1000  # objects that a bucket tells of in one answer, at most


@dataclass(frozen=True)
class Stat:
    """What a store knows about an object without reading it."""

    key: str
    size: int  # bytes
    etag: str  # changes when the object is replaced; no digest can be read from it
    modified: float = field(default=0.0, compare=False)  # seconds since 1970, as far as the store knows


@dataclass(frozen=True)
class Leftover:
    """What a write that did not end has left behind, and no list shows."""

    key: str  # of the object that it was to be, or its own
    id: str  # of the upload in parts; "" where there is none
    size: int  # bytes
    modified: float  # seconds since 1970


def check_key(key: str, *, foreign: bool = False) -> None:
    """Refuse a key that could leave the store or that servers treat differently. Raises AddressError.

    `foreign`: the object is somebody else's and only read from a bucket, where a part of a key may be empty.
    """
    segments = key.split("/")
    empty = not key or key.endswith("/") or ("" in segments and not foreign)
    if empty or "." in segments or ".." in segments:
        raise AddressError(f"the key {key!r} holds an empty part, '.' or '..'; expected parts joined by single '/'")
    if any(ord(character) < 32 or ord(character) == 127 for character in key) or not _encodable(key):
        raise AddressError(f"the key {key!r} holds control characters or is not valid Unicode")
    if len(key.encode()) > 1024:
        raise AddressError(f"the key {key[:40]!r}... is {len(key.encode())} bytes long; at most 1024 are allowed")


def is_key(key: str, *, foreign: bool = False) -> bool:
    """Whether `check_key` lets it pass."""
    try:
        check_key(key, foreign=foreign)
    except AddressError:
        return False
    return True


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
