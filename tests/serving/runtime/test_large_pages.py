"""Large pages, on the memory of this very process."""

import mmap
from pathlib import Path

from tunewright.serving.runtime import large_pages
from tunewright.serving.runtime.large_pages import gather

MIB = 1 << 20


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_what_is_gathered_is_there_as_before_and_takes_no_more_memory():
    full, sparse = mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE), mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE)
    full[:] = bytes(range(256)) * (8 * MIB // 256)
    for place in range(0, 64 * MIB, MIB):
        sparse[place] = 1
    gather()
    before = resident()
    gather()
    assert resident() - before < 2 * MIB
    assert full[:] == bytes(range(256)) * (8 * MIB // 256)
    assert sum(sparse[place] for place in range(0, 64 * MIB, MIB)) == 64


def test_nothing_is_gathered_where_the_administrator_wants_none(tmp_path, monkeypatch):
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    monkeypatch.setattr(large_pages, "_SETTING", tmp_path / "enabled")
    assert gather() == 0
    monkeypatch.setattr(large_pages, "_SETTING", tmp_path / "is not there")
    assert gather() == 0
