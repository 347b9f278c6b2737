"""Listening. The life of the whole process is in test_main.py."""

import pytest

from serving.errors import SettingsError
from serving.server import listen


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
