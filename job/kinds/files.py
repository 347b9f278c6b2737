"""Columns that name files, or hold their bytes."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.kinds.task import Columns
from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.media import audio_file, image_file

FILE_TYPE = pa.struct(
    [("path", pa.large_string()), ("bytes", pa.large_binary()), ("sha256", pa.string()), ("size", pa.int64())]
)
"""A file by its path, or its bytes where a table holds them; what identifies it; what a row of it costs."""


class Files(Columns):
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

    def read(self, cells: Cells) -> dict[str, Any] | None:
        """A file that decodes."""
        return read_file(cells, self.media, self._size) if cells.has(self.media) else None

    def identity(self, value: Mapping[str, Any]) -> str:
        """Equal files."""
        return str(value["sha256"])

    def served(self, value: Mapping[str, Any]) -> bytes:
        """The bytes of the file."""
        return content(value)

    def request(self, value: Mapping[str, Any]) -> str:
        """The bytes in base64."""
        return base64.b64encode(content(value)).decode()


def read_file(cells: Cells, role: str, size: Callable[[bytes], int]) -> dict[str, Any] | None:
    """A file that decodes; None where a fault was counted."""
    value = cells.value(role)
    # Embedded bytes come as such; everything else was found and fetched by `job.data.sources.media`.
    is_file = isinstance(value, SourceFile)
    if not is_file and not isinstance(value, bytes):
        cells.fault(f"column {cells.column(role)!r} is neither a path nor the bytes of a file", value=value)
        return None
    try:
        cost = size(value.path.read_bytes() if is_file else value)
    except (InputError, TooLarge) as error:
        named = {"value": value.address} if is_file else {}
        cells.fault(f"column {cells.column(role)!r}: {error}", **named)
        return None
    return {
        "path": str(value.path) if is_file else None,
        "bytes": None if is_file else value,
        "sha256": value.sha256 if is_file else hashlib.sha256(value).hexdigest(),
        "size": cost,
    }


def image_size(data: bytes) -> int:
    """All images are brought to one size."""
    image_file.decode(data)
    return 1


def recording_size(data: bytes) -> int:
    """Samples."""
    samples, _ = audio_file.decode(data)
    return len(samples)


def content(value: Mapping[str, Any]) -> bytes:
    """The bytes of a checked file."""
    return bytes(value["bytes"]) if value["bytes"] is not None else Path(value["path"]).read_bytes()
