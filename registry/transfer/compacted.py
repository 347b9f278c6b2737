"""Many small objects, read from one that holds copies of them.

Each copy is compared with what a listing tells of its object, the MD5 that most servers give as its ETag, and counts
only where the two agree. So nothing in such an object has to be believed: where it is lost, damaged, old or forged,
the objects themselves are read, which takes more requests. Whoever had to read many writes one anew, under a name of
its own, so that no two write the same. A store that tells no MD5 (a folder, a bucket with keys of its own) has none.
"""

import gzip
import hashlib
import json
import re
import uuid
import zlib
from collections.abc import Iterable
from contextlib import suppress

from tunewright.registry.errors import AccessDenied, CorruptObject, NotFound, Unreachable
from tunewright.registry.stores.key import SMALL, Stat
from tunewright.registry.stores.store import Store

INDEX = "index/"
FEW = 16
"""Objects that are read one by one before a new copy of all is made."""
_LARGEST = 128 * 1024 * 1024  # bytes of all copies together
_COPIES = 2  # objects with copies that are tried, the newest first
_MD5 = re.compile(r"[0-9a-f]{32}")


class Compacted:
    """Reads small objects of a store that were listed, out of copies where there are any."""

    def __init__(self, store: Store, place: str, listed: Iterable[Stat]) -> None:
        """`place`: which copies, as in `models`; `listed`: the objects that may be asked for."""
        self.uri = store.uri
        self._store, self._prefix = store, f"{INDEX}{place}/"
        self._etags = {stat.key: stat.etag for stat in listed}
        self._copies = self._open() if len(self._etags) > FEW else {}
        self._used: dict[str, bytes] = {}
        self._read = 0

    def read(self, key: str, *, limit: int = SMALL) -> bytes:
        """See Store."""
        data = self._copies.pop(key, None)  # who does not like it and asks again, reads the object
        if data is None:
            data = self._store.read(key, limit=limit)
            self._read += 1
        if self._is(key, data):
            self._used[key] = data
        return data

    def keep(self) -> None:
        """Write the copies anew, of what was asked for, where many objects had to be read.

        Whoever may not, or cannot now, leaves that to others.
        """
        if self._read <= FEW or len(self._used) <= FEW:
            return
        texts = {}
        for key, data in sorted(self._used.items()):
            with suppress(UnicodeDecodeError):  # a damaged one
                texts[key] = data.decode()
        packed = gzip.compress(json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)
        if len(packed) < SMALL:
            with suppress(AccessDenied, Unreachable):
                self._store.create(f"{self._prefix}{uuid.uuid4().hex}.json.gz", packed)

    def _is(self, key: str, data: bytes) -> bool:
        """Whether these bytes are the object that was listed."""
        etag = self._etags.get(key, "")
        return _MD5.fullmatch(etag) is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() == etag

    def _open(self) -> dict[str, bytes]:
        found = sorted(self._store.list(self._prefix), key=lambda stat: stat.modified, reverse=True)
        for stat in found[:_COPIES]:
            with suppress(CorruptObject, NotFound):
                texts = _unpack(self._store.read(stat.key))
                return {key: data for key, data in texts.items() if self._is(key, data)}
        return {}


def _unpack(packed: bytes) -> dict[str, bytes]:
    """The copies in an object. Raises CorruptObject for one that is not of this form, or unpacks to too much."""
    try:
        unpacker = zlib.decompressobj(wbits=31)
        data = unpacker.decompress(packed, _LARGEST)
        if unpacker.unconsumed_tail:
            raise ValueError
        texts = json.loads(data)
        return {key: text.encode() for key, text in texts.items()}
    except (zlib.error, ValueError, AttributeError, RecursionError, UnicodeError):
        raise CorruptObject("these are no copies of objects") from None
