"""Files that may be replaced while the server runs: mounted secrets and certificates rotate."""

import time
from collections.abc import Sequence
from pathlib import Path

_LOOK_SECONDS = 1.0
"""Between two looks."""


class FileChanges:
    """Tells once of each change of some files. Asking often costs nothing: they are looked at once a second."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._looked = time.monotonic()
        self._stamps = self._look()

    def are_there(self) -> bool:
        """Whether a file is another one than it was when this was last asked."""
        if not self._files or (now := time.monotonic()) - self._looked < _LOOK_SECONDS:
            return False
        self._looked, before = now, self._stamps
        self._stamps = self._look()
        return self._stamps != before

    def _look(self) -> list[tuple[int, ...]]:
        return [_stamp(file) for file in self._files]


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_size
