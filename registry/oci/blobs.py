"""The blobs of a repository, read like those of a store: in ranges, by the digest in their key."""

from tunewright.registry.errors import CorruptObject, NotFound, UnsafeStore
from tunewright.registry.oci.remote import Remote
from tunewright.registry.stores.key import Stat
from tunewright.registry.versions.layout import digest_named


class Blobs:
    """See `registry.transfer.download.Source`. A digest stands for an ETag: under it there is never anything else."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @property
    def uri(self) -> str:
        """oci://host/repository:tag."""
        return str(self._remote.address)

    def read(self, key: str, *, limit: int) -> bytes:
        """A small blob. Raises NotFound, and CorruptObject where it has more bytes than `limit`."""
        size = self.stat(key).size
        if size > limit:
            raise CorruptObject(f"{self.uri}: {digest_named(key)} holds {size} bytes, more than {limit}")
        return self.read_range(key, 0, size, etag=digest_named(key))

    def stat(self, key: str) -> Stat:
        """Size and digest of a blob. Raises NotFound."""
        answer = self._remote.ask("HEAD", f"blobs/{digest_named(key)}", known=(200, 404))
        if answer.status == 404:
            raise NotFound(f"{self.uri} lacks {digest_named(key)}, which its manifest names")
        return Stat(key, int(answer.headers.get("Content-Length", -1)), digest_named(key))

    def read_range(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """Bytes `start` to `stop` (exclusive) of the blob."""
        if stop <= start:
            return b""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        answer = self._remote.ask("GET", f"blobs/{etag}", headers=headers, known=(200, 206))
        if len(answer.data) != stop - start:
            raise UnsafeStore(
                f"{self.uri}: {stop - start} bytes of {etag} were asked for and {len(answer.data)} sent; this "
                "registry, or a proxy before it, does not answer ranged reads"
            )
        return answer.data
