"""Columns that name files, or hold their bytes."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.kinds.task import Columns
from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.media import audio_file, image_file

IMAGE_CHANGES = frozenset({"crop", "flip", "colour", "rand_augment"})
"""What `train.augment` can change in images."""
SOUND_CHANGES = frozenset({"gain", "noise", "shift", "spec"})
"""What it can change in recordings."""


class File(TypedDict):
    """A checked file: by its path, or its bytes where a table holds them."""

    path: str | None
    sha256: str
    size: int
    bytes: bytes | None


FILE_TYPE = pa.struct(
    [("path", pa.large_string()), ("bytes", pa.large_binary()), ("sha256", pa.string()), ("size", pa.int64())]
)
"""A file by its path, or its bytes where a table holds them; what identifies it; what a row of it costs."""


class Files(Columns[File]):
    """A file in each row. `size`: what a row of it costs; InputError when it cannot be read."""

    uses: frozenset[str] = frozenset()

    def __init__(self, role: str, subject: str, size: Callable[[bytes], int]) -> None:
        self.media, self.subject, self._size = role, subject, size

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """A file with a target."""
        return tuple(Form((self.media,), target=target) for target in targets)

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A file."""
        return FILE_TYPE

    def read(self, cells: Cells) -> File | None:
        """A file that decodes."""
        return read_file(cells, self.media, self._size) if cells.has(self.media) else None

    def identity(self, value: File) -> str:
        """Equal files."""
        return str(value["sha256"])

    def served(self, value: File) -> bytes:
        """The bytes of the file."""
        return content(value)

    def request(self, value: File) -> str:
        """The bytes in base64."""
        return base64.b64encode(content(value)).decode()


def read_file(cells: Cells, role: str, size: Callable[[bytes], int]) -> File | None:
    """A file that decodes; None where a fault was counted."""
    value = cells.value(role)
    # Embedded bytes come as such; everything else was found and fetched by `job.data.sources.media`.
    if not isinstance(value, SourceFile | bytes):
        cells.fault(f"column {cells.column(role)!r} is neither a path nor the bytes of a file", value=value)
        return None
    try:
        cost = size(value.path.read_bytes() if isinstance(value, SourceFile) else value)
    except (InputError, TooLarge) as error:
        named = {"value": value.address} if isinstance(value, SourceFile) else {}
        cells.fault(f"column {cells.column(role)!r}: {error}", **named)
        return None
    if isinstance(value, SourceFile):
        return File(path=str(value.path), bytes=None, sha256=value.sha256, size=cost)
    return File(path=None, bytes=value, sha256=hashlib.sha256(value).hexdigest(), size=cost)


def image_size(data: bytes) -> int:
    """All images are brought to one size."""
    image_file.decode(data)
    return 1


def recording_size(data: bytes) -> int:
    """Samples."""
    samples, _ = audio_file.decode(data)
    return len(samples)


def content(value: File) -> bytes:
    """The bytes of a checked file."""
    data = value["bytes"]
    return Path(str(value["path"])).read_bytes() if data is None else data
