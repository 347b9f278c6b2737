"""The journal of an unfinished download: which ranges of which object are already in the part."""

import json
import threading
from pathlib import Path


class Journal:
    """A small file that is rewritten whole after each range; anything unreadable in it counts as nothing.

    It needs no flush to the disk: a range whose bytes did not survive a crash fails its digest and is fetched again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(path.name + ".new")
        self._lock = threading.Lock()
        self._object: list[str | int] = []
        self._digests: dict[str, str] = {}

    def begin(self, name: str, etag: str, size: int) -> None:
        """Go on with what is recorded for exactly this object; forget what is recorded for another."""
        self._object = [name, etag, size]
        self._digests = self._recorded()

    def digest_at(self, start: int) -> str | None:
        """The sha256 of the range that starts there; None when it has not arrived."""
        return self._digests.get(str(start))

    def add(self, start: int, digest: str) -> None:
        """A range has arrived and is in the part."""
        with self._lock:
            self._digests[str(start)] = digest
            self._new.write_text(json.dumps({"object": self._object, "ranges": self._digests}))
            self._new.replace(self._path)

    def clear(self) -> None:
        """Nothing of the part can be trusted."""
        self._digests = {}
        self.remove()

    def remove(self) -> None:
        """The journal's work is done."""
        self._path.unlink(missing_ok=True)
        self._new.unlink(missing_ok=True)

    def _recorded(self) -> dict[str, str]:
        try:
            recorded = json.loads(self._path.read_text())
            if recorded["object"] == self._object:
                return {str(start): str(digest) for start, digest in recorded["ranges"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return {}
