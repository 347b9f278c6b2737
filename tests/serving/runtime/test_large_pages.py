"""Large pages: what is gathered stays as it was, and takes no more memory."""

import subprocess
import sys

from tunewright.serving.runtime import large_pages
from tunewright.serving.runtime.large_pages import gather

GATHERED = """
import mmap
from pathlib import Path
from tunewright.serving.runtime.large_pages import gather

MIB = 1 << 20

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

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
"""
"""Run by a process of its own: one that has imported torch and run a thousand tests has gigabytes to gather."""


def test_what_is_gathered_is_there_as_before_and_takes_no_more_memory():
    done = subprocess.run([sys.executable, "-c", GATHERED], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_gathered_where_the_administrator_wants_none(tmp_path, monkeypatch):
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    monkeypatch.setattr(large_pages, "_SETTING", tmp_path / "enabled")
    assert gather() == 0
    monkeypatch.setattr(large_pages, "_SETTING", tmp_path / "is not there")
    assert gather() == 0
