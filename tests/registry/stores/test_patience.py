"""A store that has answered is waited for by those that are patient, with one line a minute, and not for ever."""

from types import SimpleNamespace

import pytest

from tunewright.registry.errors import AccessDenied, Unreachable
from tunewright.registry.stores.patience import Patience, Waiting, granting
from tunewright.registry.stores.store import open_store


@pytest.fixture
def lines():
    return []


@pytest.fixture
def patient(faulty_uri, lines):
    """patient(20): a store that has answered, opened by a program that waits so many seconds."""

    def opened(seconds, **more):
        with granting(Patience(seconds, lines.append, **more)):
            store = open_store(faulty_uri)
        store.create("kept", b"bytes")
        return store

    return opened


def test_an_outage_is_waited_for(patient, faults, lines):
    store = patient(20)
    fault = faults.inject("503 SlowDown", "GET", "kept", times=5)
    assert store.read("kept") == b"bytes"
    assert fault.seen == 5
    assert lines == [f"{faults.url} does not answer (503); it is waited for, 0.3 minutes more at most"]


def test_what_was_written_before_the_answers_stopped_is_known_as_ours(patient, faults):
    store = patient(20)
    faults.inject("lose", "PUT", "new")
    faults.inject("503 SlowDown", "PUT", "new", times=5)
    assert store.create("new", b"mine")


def test_an_outage_ends_the_waiting_after_its_time(patient, faults):
    store = patient(0.1)
    faults.inject("503 SlowDown", "HEAD", "kept", times=99)
    with pytest.raises(Unreachable, match="the server failed after every retry"):
        store.stat("kept")


def test_nobody_waits_for_a_program_that_is_to_end(patient, faults, lines):
    store = patient(600, is_over=lambda: True)
    faults.inject("503 SlowDown", "HEAD", "kept", times=99)
    with pytest.raises(Unreachable):
        store.stat("kept")
    assert lines == []


def test_a_server_that_never_answered_is_not_waited_for(s3_uri, lines, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with granting(Patience(600, lines.append)):
        store = open_store(s3_uri)
    with pytest.raises(Unreachable, match="nothing answers"):
        store.read("key")
    assert lines == []


@pytest.mark.parametrize("answer", ["400 ExpiredToken", "403 RequestExpired"])
def test_credentials_that_have_expired_are_read_again(faulty_uri, faults, answer):
    store = open_store(faulty_uri)
    store.create("kept", b"bytes")
    faults.inject(answer, "GET", "kept")
    assert store.read("kept") == b"bytes"
    faults.inject("403 Forbidden", "HEAD", "kept")
    told = faults.inject(answer, "GET", "kept")
    assert store.stat("kept").size == 5
    assert told.seen == 1


def test_credentials_that_stay_expired_are_waited_for_and_then_told(patient, faults, lines):
    store = patient(0.1)
    faults.inject("400 ExpiredToken", "GET", "kept", times=99)
    with pytest.raises(AccessDenied, match="the session token has expired"):
        store.read("kept")
    assert lines == [f"the credentials for {faults.url} have expired; it is waited for, 0.0 minutes more at most"]


def test_the_pauses_grow_and_one_line_a_minute_is_told(monkeypatch):
    clock, said = [0.0], []
    # Not of the module itself, by which servers of other tests in this process wait.
    pauses = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr("tunewright.registry.stores.patience.time", pauses)
    waiting, tries = Waiting(Patience(300, said.append)), []
    while waiting.goes_on("the store is away"):
        tries.append(clock[0])
    assert tries[:6] == [1, 3, 7, 15, 30, 45]
    assert tries[-1] == 300
    assert said[0] == "the store is away; it is waited for, 5.0 minutes more at most"
    assert len(said) == 5
