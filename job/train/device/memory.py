"""Memory that one step gives back and the next one takes: kept by the process while a model learns on a processor."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's `mallopt`, by their numbers in malloc.h."""
_LARGE = 32 * 2**20
"""Bytes: the largest threshold of a block that glibc takes."""
_KEPT = 2**30
"""Bytes that stay with the process although nothing uses them."""


@contextmanager
def memory_kept(device: str) -> Iterator[None]:
    """Have large tensors on a processor lie where others have lain: glibc would give their memory back to the system at
    once, and each page that is taken again is a fault. Other C libraries are left as they are."""
    library = ctypes.CDLL(None)
    if device != "cpu" or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    for parameter, value in ((_MMAP_THRESHOLD, _LARGE), (_TOP_PAD, _LARGE), (_TRIM_THRESHOLD, _KEPT)):
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, _LARGE)
        library.malloc_trim(0)
