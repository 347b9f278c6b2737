"""Listening. The life of the whole process is in test_main.py."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
from pathlib import Path

import pytest

from tunewright.serving.errors import SettingsError
from tunewright.serving.http.server import event_loop, listen


def test_a_port_in_use_is_named_with_the_settings_to_change():
    with listen("127.0.0.1", 0) as first, pytest.raises(SettingsError) as caught:
        port = first.getsockname()[1]
        listen("127.0.0.1", port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose with SERVING_HOST and SERVING_PORT"
    )


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(SettingsError, match=r"^cannot listen on 192\.0\.2\.1 port 0: Cannot assign requested address"):
        listen("192.0.2.1", 0)


def test_a_name_nobody_knows_is_refused():
    with pytest.raises(SettingsError, match=r"^cannot listen on no\.such\.host\.invalid port 0: "):
        listen("no.such.host.invalid", 0)


def test_answers_on_a_kept_alive_connection_do_not_wait_for_acknowledgements(serve_bundle, reviews):
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list the descriptors of a process")
    with serve_bundle(reviews) as (client, _):
        connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
        for _ in range(50):
            connection.request("POST", "/predict", json.dumps({"inputs": "great"}))
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
        assert nodelay_of_the_server_side(connection.sock.getsockname())
        connection.close()


def nodelay_of_the_server_side(caller):
    """The option of the connection of this caller, among the descriptors of this process, where the server runs."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            one = socket.socket(fileno=os.dup(int(descriptor.name)))
        except OSError:
            continue
        with one, contextlib.suppress(OSError):
            if one.getpeername() == caller:
                return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    raise AssertionError("the server has no such connection")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_accepted_connection_sends_at_once(host):
    with listen(host, 0) as listener, socket.create_connection(listener.getsockname()[:2]) as caller:
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getpeername() == caller.getsockname()
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_arrives_is_read_while_there_is_always_something_to_do():
    async def turns_until_read(far, near):
        arrived = asyncio.Event()
        asyncio.get_running_loop().add_reader(near, arrived.set)
        far.send(b"!")
        turns = 0
        while not arrived.is_set() and turns < 100:
            await asyncio.sleep(0)
            turns += 1
        return turns

    with contextlib.closing(event_loop()) as loop, contextlib.ExitStack() as held:
        far, near = (held.enter_context(one) for one in socket.socketpair())
        assert loop.run_until_complete(turns_until_read(far, near)) < 10
