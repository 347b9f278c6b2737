"""What the callers of the soak do, as far as no server is needed for it."""

import socket
from pathlib import Path


def test_callers_of_a_server_that_is_too_slow_stop_by_the_clock(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from bench_soak import Callers

    rate, seconds = 1e6, 0.2
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # it does not listen: each request is refused
        found = Callers(nobody.getsockname()[1], {}, rate, seconds).run()
    assert 0 < found["answers"]["ConnectionRefusedError"] < rate * seconds
