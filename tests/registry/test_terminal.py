"""The line of a transfer: on a terminal alone, after a second, and gone at the end."""

import io
import os
import pty
import subprocess
import sys

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.terminal import Line, line_of

WIPE = "\r\x1b[K"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def drawn(monkeypatch):
    """drawn((seconds, bytes), ...): what a line writes of a transfer of a gigabyte whose bytes move so."""
    monkeypatch.setenv("COLUMNS", "100")

    def make(*steps, total=10**9, times=1):
        clock, out = Clock(), io.StringIO()
        line = Line(out, clock)
        line.begin("reviews:1", total, times)
        for seconds, size in steps:
            clock.now += seconds
            line.moved(size)
        line.end()
        line.moved(1)
        return out.getvalue()

    return make


def test_a_line_tells_share_rate_and_what_is_left_and_is_gone_at_the_end(drawn):
    assert drawn((2, 10**8), (2, 10**8)) == (
        f"{WIPE}reviews:1: 10 %, 100.0 MB of 1.0 GB, 50.0 MB/s, 18 s left"
        f"{WIPE}reviews:1: 20 %, 200.0 MB of 1.0 GB, 50.0 MB/s, 16 s left{WIPE}"
    )
    assert ", 500.0 kB/s, 33 min left" in drawn((10, 5 * 10**6))
    assert ", 50.0 kB/s, 6 h left" in drawn((10, 5 * 10**5))
    # A copy receives and sends each byte.
    assert "10 %, 100.0 MB of 1.0 GB, 50.0 MB/s" in drawn((2, 2 * 10**8), times=2)
    # A file that arrives again has moved no more than there is, and one that is thrown away less.
    assert "100 %, 1.0 GB of 1.0 GB" in drawn((2, 2 * 10**9))
    assert "0 %, 0 bytes of 1.0 GB, 0 bytes/s, waiting" in drawn((1, 10**6), (1, -(10**6)))


def test_what_is_done_at_once_needs_no_line(drawn):
    assert drawn((0.5, 10**9)) == ""
    assert drawn((1, 1), *[(0.01, 1)] * 10, total=0).count("100 %") == 1


def test_a_line_is_no_longer_than_the_terminal(drawn, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert drawn((2, 10**8)) == f"{WIPE}reviews:1: 10 %, 10{WIPE}"


def test_nothing_but_a_terminal_that_can_wipe_has_a_line(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert line_of(None) is None
    assert line_of(io.StringIO()) is None
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "w") as terminal:
        assert line_of(terminal) is not None
        monkeypatch.setenv("TERM", "dumb")
        assert line_of(terminal) is None


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_command_draws_on_its_terminal_and_leaves_it_whole(publish_version, tmp_path, words):
    publish_version(open_store(str(tmp_path / "registry")), "one")
    # So that small files need a line.
    program = (
        "import sys; from tunewright.registry import program, terminal; terminal._AFTER = 0.0; "
        "sys.exit(program.main(['verify', 'reviews:1', *sys.argv[1:]]))"
    )
    ours, theirs = pty.openpty()
    given = {"REGISTRY_URI": str(tmp_path / "registry"), "TERM": "xterm", "COLUMNS": "100"}
    with os.fdopen(ours, "rb", buffering=0) as seen:
        with os.fdopen(theirs, "w") as terminal:
            command = [sys.executable, "-c", program, *words]
            done = subprocess.run(command, env=os.environ | given, stdout=subprocess.PIPE, stderr=terminal, check=True)
            terminal.write("|")
        text = b""
        while not text.endswith(b"|"):
            text += seen.read(1000)
    assert (b"reviews:1" in done.stdout) == (not words) or b'"reviews:1"' in done.stdout
    assert text == b"|" if words else text.endswith(f"left{WIPE}|".encode())
