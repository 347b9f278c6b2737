"""How much memory this process may still take, has, and had at most; and giving back what it needs no more."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ARENA_MAX = -8
"""Of glibc's `mallopt`, by its number in malloc.h."""


def free_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes left of the machine and of the cgroup (v2 or v1), the smaller of the two; None where neither tells."""
    return min((*_machine(proc), *_group(cgroup)), default=None)


def own_memory(which: str) -> int | None:
    """Bytes that this process has in memory (VmRSS), or has had at most (VmHWM); None where that is not told."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{which}:"))
    return None


def forget_peak() -> bool:
    """Have the system count anew what this process has at most (proc(5), clear_refs); False where it does not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def give_back() -> None:
    """Give back to the system what was freed: glibc would keep it, and whatever comes next takes other pieces."""
    with suppress(OSError, AttributeError):  # other C libraries have no such call
        ctypes.CDLL(None).malloc_trim(0)


def share_arenas() -> None:
    """Have glibc take memory for all threads but the first from one arena, unless MALLOC_ARENA_MAX says another number.

    Each thread would have one of its own, and keep there what a version took that is long gone. To be called before
    there are other threads.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def _machine(proc: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        lines = (proc / "meminfo").read_text().splitlines()
        yield next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))


def _group(root: Path) -> Iterator[int]:
    """What the system could take back of what is used, such as the pages of files that were read, is free, too."""
    for most, used, again in (
        (root / "memory.max", root / "memory.current", "inactive_file"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):
            limit, taken = int(most.read_text()), int(used.read_text())
            lines = dict(line.split() for line in most.with_name("memory.stat").read_text().splitlines())
            yield max(0, limit - taken + int(lines.get(again, 0)))
