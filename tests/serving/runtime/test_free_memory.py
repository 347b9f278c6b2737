"""Free memory, as the machine and its cgroups tell it."""

import os
import subprocess
import sys

import pytest

from tunewright.serving.runtime.free_memory import free_memory

MIB = 1 << 20


@pytest.fixture
def write(tmp_path):
    """A function that writes the files of a system, by their paths."""

    def made(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return free_memory(tmp_path, tmp_path)

    return made


def test_the_machine_tells_what_is_available(write):
    assert write(meminfo="MemTotal: 8192 kB\nMemFree: 512 kB\nMemAvailable: 4096 kB\n") == 4 * MIB


def test_the_smaller_limit_holds_and_what_can_be_taken_back_is_free(tmp_path, write):
    (tmp_path / "memory.max").write_text(f"{8 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{6 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {MIB}\n")
    assert write(meminfo="MemAvailable: 409600 kB\n") == 3 * MIB


def test_a_group_without_a_limit_leaves_it_to_the_machine(tmp_path, write):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{6 * MIB}\n")
    (tmp_path / "memory.stat").write_text("anon 1\n")
    assert write(meminfo="MemAvailable: 4096 kB\n") == 4 * MIB


def test_the_older_groups_are_read_too(write):
    said = {"limit_in_bytes": 8 * MIB, "usage_in_bytes": 6 * MIB, "stat": f"total_inactive_file {MIB}"}
    assert write(**{f"memory__memory.{name}": f"{text}\n" for name, text in said.items()}) == 3 * MIB


def test_a_system_that_tells_nothing_sets_no_bound(tmp_path):
    assert free_memory(tmp_path, tmp_path) is None


ARENAS = """
import ctypes, threading
from tunewright.serving.runtime.free_memory import share_arenas
share_arenas()
met = threading.Barrier(9)
def take():
    libc.malloc(1000)
    met.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fflush.argtypes = (ctypes.c_int, ctypes.c_void_p), (ctypes.c_void_p,)
threads = [threading.Thread(target=take) for _ in range(8)]
[one.start() for one in threads]
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(out)
met.wait()
"""


@pytest.mark.parametrize(("told", "most"), [({}, 2), ({"MALLOC_ARENA_MAX": "4"}, 4)])
def test_threads_share_arenas_unless_the_environment_says_how_many(told, most):
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | told
    done = subprocess.run([sys.executable, "-c", ARENAS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count("<heap nr=") == most
