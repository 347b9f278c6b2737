"""The files of a run in a bucket: sent whole, fetched again on another disk, and removed there and nowhere else."""

from collections.abc import Iterable
from pathlib import Path

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.download import download, sha256_of

FACTS, MANIFEST = "state.json", "manifest.json"
"""Files of a checkpoint: what it is of beside its tensors, and what is written last."""


class Mirror:
    """All that lies below one prefix, which one run has alone."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, f"{prefix}/"

    @property
    def uri(self) -> str:
        """Where it is, for people."""
        return f"{self._store.uri}/{self._prefix}".rstrip("/")

    def within(self, name: str) -> "Mirror":
        """What lies in a folder of it."""
        return Mirror(self._store, f"{self._prefix}{name}")

    def names(self) -> list[str]:
        """What is there, each with its path below the prefix."""
        return [stat.key.removeprefix(self._prefix) for stat in self._store.list(self._prefix)]

    def read(self, name: str) -> bytes:
        """The whole of a small file. Raises NotFound."""
        return self._store.read(self._prefix + name)

    def create(self, name: str, data: bytes) -> bool:
        """Make a small file; False where there is one of that name, which stays as it is."""
        return self._store.create(self._prefix + name, data)

    def send(self, folder: Path, names: Iterable[str]) -> None:
        """Send files in this order: where the last one is, all of them are."""
        for name in names:
            self._store.upload(self._prefix + name, folder / name, sha256=sha256_of(folder / name))

    def fetch(self, name: str, target: Path, *, sha256: str | None = None) -> bool:
        """Fetch a file; False where it is not there. Raises CorruptObject where it is not that of the digest."""
        try:
            download(self._store, self._prefix + name, target, sha256=sha256)
        except NotFound:
            return False
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove files in this order."""
        for name in names:
            self._store.delete(self._prefix + name)

    def clear(self) -> None:
        """Remove all that is there."""
        self.remove(self.names())
