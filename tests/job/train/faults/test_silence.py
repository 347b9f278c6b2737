"""A connection to another machine ends when that falls silent; tests/job/test_launcher.py cuts a cable."""

import socket

from tunewright.job.train.faults.silence import watch_connections


def test_connections_to_this_machine_are_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = watch_connections()
        with socket.create_connection(server.getsockname()) as near, server.accept()[0] as other:
            assert watch_connections() == before
            kept = [one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in (near, other, server)]
    assert kept == [0, 0, 0]


def test_a_connection_to_another_address_is_asked_whether_it_lives():
    with socket.create_server(("127.0.0.2", 0)) as server:
        before = watch_connections()
        with socket.create_connection(server.getsockname(), source_address=("127.0.0.1", 0)) as far, server.accept()[0]:
            assert watch_connections() == before + 2
            assert far.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert far.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 3
            assert far.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8000
            # Watching takes nothing from it.
            far.sendall(b"still here")
