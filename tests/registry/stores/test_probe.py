"""A store that overwrites is refused before the first version is written."""

import pytest

from tunewright.registry.errors import UnsafeStore
from tunewright.registry.stores.probe import PROBE, probe
from tunewright.registry.stores.store import open_store


def test_a_store_that_keeps_its_promise_passes(store):
    probe(store)
    assert store.exists(PROBE)


def test_a_store_is_asked_once(faulty_uri, faults):
    store = open_store(faulty_uri)
    for _ in range(3):
        probe(store)
    assert len([1 for method, path in faults.requests if method == "PUT" and PROBE in path]) == 2


def test_a_store_that_was_probed_before_is_asked_by_one_write(faulty_uri, faults):
    probe(open_store(faulty_uri))
    faults.requests.clear()
    probe(open_store(faulty_uri))
    assert [method for method, _ in faults.requests] == ["PUT", "HEAD"]


def test_a_single_writer_is_not_asked(faulty_uri, faults):
    probe(open_store(faulty_uri, single_writer=True))
    assert faults.requests == []


def test_a_store_that_overwrites_is_refused_with_the_way_out(rclone_uri):
    with pytest.raises(UnsafeStore) as error:
        probe(open_store(rclone_uri))
    assert str(error.value) == (
        f"{rclone_uri} ignores conditional writes (If-None-Match: *): two publishers at once would overwrite each "
        "other's versions; use another server, or set REGISTRY_SINGLE_WRITER=true if only one process writes at a time"
    )
