"""The local disk: room known before a download starts, said clearly when it runs out; what was written, kept."""

import errno
import os
import shutil
from pathlib import Path

from tunewright.registry.errors import NoSpace


def is_disk_full(error: OSError) -> bool:
    """Whether the system refused a write for want of space or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(folder: Path, needed: int | None = None) -> NoSpace:
    """The error for a full disk; `needed` in bytes."""
    free = shutil.disk_usage(_existing(folder)).free
    needs = f"; {size_text(needed)} are needed" if needed is not None else ""
    return NoSpace(
        f"the disk that holds {folder} is full{needs} and {size_text(free)} are free; "
        "make room there or choose another folder"
    )


def check_room(folder: Path, needed: int) -> None:
    """Refuse before the first byte is written. Raises NoSpace."""
    if shutil.disk_usage(_existing(folder)).free < needed:
        raise disk_full(folder, needed)


def size_text(size: float) -> str:
    """A number of bytes as people read it: 90.9 MB (powers of ten, like disks and networks)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def flush(path: Path) -> None:
    """Make a file's bytes, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
