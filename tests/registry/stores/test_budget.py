"""Memory on the way to a store and from it is bounded for the whole process."""

import os
import subprocess
import sys
import threading

import pytest

from tunewright.registry.stores.budget import Budget

MB = 2**20
PROGRAM = """
import sys
from pathlib import Path
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull

def most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024

uri, folder = sys.argv[1], Path(sys.argv[2])
store = open_store(uri)
list(store.list("blobs/"))  # boto3 is there
before = most()
version = publish(store, "m", {path.name: path for path in (folder / "files").iterdir()}, run_id="r")
published = most()
pull(store, version, cache=folder / "cache")
print(published - before, most() - before)
"""


def test_who_wants_more_than_is_left_waits():
    budget, order = Budget(10), []
    budget.take(6)
    second = threading.Thread(target=lambda: (budget.take(5), order.append("second")))
    second.start()
    order.append("first")
    budget.give_back(6)
    second.join()
    budget.give_back(5)
    assert order == ["first", "second"]


def test_what_is_larger_than_all_goes_alone():
    budget = Budget(10)
    with budget.taken(25):
        pass
    with pytest.raises(RuntimeError), budget.taken(10):
        raise RuntimeError
    with budget.taken(10):  # and gives back what it took
        pass


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(400,), (100, 100, 100, 100), (31,) * 10])
def test_no_number_of_files_and_no_size_takes_more_memory(s3_uri, tmp_path, sizes):
    (tmp_path / "files").mkdir()
    for number, size in enumerate(sizes):
        (tmp_path / "files" / f"{number}.bin").write_bytes(os.urandom(size * MB))
    command = [sys.executable, "-c", PROGRAM, s3_uri, str(tmp_path)]
    # As in the serving image: each arena of glibc keeps memory of its own that was used and is free.
    environ = os.environ | {"MALLOC_ARENA_MAX": "2"}
    told = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    published, pulled = map(int, told.split())
    assert published < 200
    assert pulled < 200
