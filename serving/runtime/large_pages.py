"""Memory in pages of 2 MB: a run reads all weights of a graph, and finds them through far fewer entries of tables."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LARGE, _SMALL = 2 << 20, mmap.PAGESIZE
_COLLAPSE = 25
"""MADV_COLLAPSE of madvise(2), Linux 6.1."""
_DENSE = 0.9
"""Of a large page that must be there already: what else is in it would take memory more."""
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def gather() -> int:
    """Have the system put what lies densely in this process's memory into large pages, as glibc asks for none.

    The bytes for which it did. Nothing where the administrator wants no large pages, and on other systems.
    """
    taken = 0
    with suppress(OSError, AttributeError):
        if "[never]" in _SETTING.read_text():
            return 0
        c = ctypes.CDLL(None)
        c.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        c.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
        there = ctypes.create_string_buffer(_LARGE // _SMALL)
        for start in _places(Path("/proc/self/maps").read_text()):
            is_known = c.mincore(start, _LARGE, there) == 0
            if is_known and sum(byte & 1 for byte in there.raw) >= _DENSE * len(there):
                taken += _LARGE if c.madvise(start, _LARGE, _COLLAPSE) == 0 else 0
    return taken


def _places(maps: str) -> Iterator[int]:
    """Where a large page could be: in memory of this process alone that is no file's."""
    for line in maps.splitlines():
        addresses, mode, *_, last = line.split()
        if mode == "rw-p" and (last == "[heap]" or len(line.split()) == 5):
            start, end = (int(one, 16) for one in addresses.split("-"))
            yield from range(-(-start // _LARGE) * _LARGE, end // _LARGE * _LARGE, _LARGE)
