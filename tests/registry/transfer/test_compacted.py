"""Copies of small objects: fewer requests, and nothing in them is believed."""

import gzip
import json

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.compacted import INDEX, Compacted

MANY = 4


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr("tunewright.registry.transfer.compacted.FEW", MANY - 2)


@pytest.fixture
def many(faulty_uri):
    """A store with many small objects."""
    store = open_store(faulty_uri)
    for number in range(MANY):
        store.create(f"m/{number:03d}", f"object {number}, of bytes such as ü".encode())
    return store


def read_all(store):
    listed = list(store.list("m/"))
    reader = Compacted(store, "m", listed)
    found = {stat.key: reader.read(stat.key) for stat in listed}
    reader.keep()
    return found


def copies(store):
    return [stat.key for stat in store.list(INDEX)]


def requests_of(faults, ask):
    faults.requests.clear()
    found = ask()
    return len(faults.requests), found


def test_who_has_read_many_leaves_copies_for_those_who_come_after(many, faults):
    spent, first = requests_of(faults, lambda: read_all(many))
    assert (spent, len(copies(many))) == (MANY + 3, 1)  # two listings, the copies are written
    spent, again = requests_of(faults, lambda: read_all(many))
    assert (spent, again, len(copies(many))) == (3, first, 1)
    many.create("m/new", b"one more")
    spent, again = requests_of(faults, lambda: read_all(many))
    assert (spent, again, len(copies(many))) == (4, first | {"m/new": b"one more"}, 1)


def test_an_object_that_was_changed_is_read_itself(many, write):
    first = read_all(many)
    many.upload("m/001", write("changed", b"damaged"))
    assert read_all(many) == first | {"m/001": b"damaged"}


def _pack(texts):
    return gzip.compress(json.dumps(texts).encode())


RUBBISH = [
    b"",
    b"rubbish",
    gzip.compress(b"rubbish"),
    _pack([]),
    _pack({"m/000": 1}),
    _pack({"m/000": "forged"}),
    _pack({"m/000": "\ud800"}),
    gzip.compress(b"[" * 100_000),
    gzip.compress(b'{"m/000": "half'),
]


def test_copies_that_are_damaged_or_forged_change_nothing(many, write, faults):
    first = read_all(many)
    for rubbish in RUBBISH:
        for key in copies(many):
            many.upload(key, write("rubbish", rubbish))
        faults.inject("403 AccessDenied", "PUT", INDEX)  # the next one finds the same rubbish
        assert read_all(many) == first


def test_what_is_gone_is_not_there_whatever_copies_hold(many):
    read_all(many)
    many.delete("m/001")
    with pytest.raises(NotFound):
        Compacted(many, "m", many.list("m/")).read("m/001")


def test_copies_that_cannot_be_written_are_left_to_others(many, faults):
    faults.inject("403 AccessDenied", "PUT", INDEX)
    assert len(read_all(many)) == MANY
    assert copies(many) == []


def test_a_folder_needs_none(tmp_path):
    store = open_store(str(tmp_path))
    for number in range(MANY):
        store.create(f"m/{number:03d}", b"x")
    assert len(read_all(store)) == MANY
    assert copies(store) == []
