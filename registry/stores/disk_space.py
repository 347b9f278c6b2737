"""The local disk: room known before a download starts, said clearly when it runs out; what was written, kept."""

import errno
import os
import shutil
from collections.abc import Iterable
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
        f"make room there or choose another folder{_in_a_pod(folder)}"
    )


def fullest(folders: Iterable[Path]) -> Path:
    """The one whose disk has the least room, for an error that names no file."""
    return min(folders, key=lambda folder: shutil.disk_usage(_existing(folder)).free)


def _in_a_pod(folder: Path) -> str:
    """What is full there, and where its size is said; empty elsewhere. Kubernetes sets the variable in every pod."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return ""
    mount = _existing(folder.absolute())
    while not mount.is_mount():
        mount = mount.parent
    size = size_text(shutil.disk_usage(mount).total)
    return (
        f" (in this pod: the volume at {mount}, {size} in all; of an emptyDir raise sizeLimit, and "
        "ephemeral-storage or, with medium Memory, memory of the container)"
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
