"""Retention: the last versions stay, and those that an alias has held not long ago."""

import json
import os
import time

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import tag, untag
from tunewright.registry.upkeep.retention import out_of_use
from tunewright.registry.versions.alias import move, remove
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.latest import yank
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import read_version, version_numbers

DAY = 86400.0


@pytest.fixture
def store(tmp_path, write, monkeypatch):
    """A registry in a folder, that commands go to, with `m:1` to `m:6` and `n:1`."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    store = open_store(str(tmp_path / "registry"))
    for number in range(1, 7):
        publish(store, "m", {"f": write(f"f{number}", bytes([number]))}, run_id=f"run-{number}")
    publish(store, "n", {"f": write("n", b"n")}, run_id="run-1")
    return store


def numbers(store, keep_last, days, later=0.0):
    now = time.time() + later * DAY
    return [v.number for v in out_of_use(store, keep_last=keep_last, held_within=days * DAY, now=now)]


def test_the_last_versions_of_each_model_stay(store):
    assert numbers(store, 2, 30) == [1, 2, 3, 4]
    assert numbers(store, 6, 30) == []


def test_what_is_yanked_is_none_of_the_last(store):
    for number in (2, 5, 6):
        yank(store, read_version(store, "m", number), "bad data")
    assert numbers(store, 2, 30) == [1, 2]
    assert numbers(store, 3, 30) == numbers(store, 4, 30) == []
    asked = {"keep_last": 2, "held_within": 0.0, "now": time.time(), "counts": lambda _: False}
    assert [version.number for version in out_of_use(store, **asked)] == [1, 2, 3, 4]  # as if there were no yank


def test_what_an_alias_holds_or_held_not_long_ago_stays(store):
    for number in (1, 3):
        move(store, "m", "production", number)
    move(store, "m", "staging", 2)
    remove(store, "m", "staging")
    begin(store, "m", "production", 4, 10)
    assert numbers(store, 1, 30) == [5]
    assert numbers(store, 1, 30, later=29) == [5]
    assert numbers(store, 1, 30, later=31) == [1, 2, 5]


def test_what_has_a_tag_stays(store):
    tag(store, read_version(store, "m", 2), "released")
    tag(store, read_version(store, "m", 3), "tried")
    untag(store, read_version(store, "m", 3), "tried")
    assert numbers(store, 2, 30) == [1, 3, 4]


def test_the_command_deletes_first_and_the_blobs_go_after_the_grace(store, run):
    move(store, "m", "production", 1)
    assert run("gc", "--keep-last", "4")[1].startswith("m:2 would be deleted\n0 blobs and ")
    assert version_numbers(store, "m") == [1, 2, 3, 4, 5, 6]
    told = json.loads(run("gc", "--keep-last", "4", "--delete", "--json")[1])
    assert (told["versions"], told["blobs"]) == (["m:2"], [])
    assert version_numbers(store, "m") == [1, 3, 4, 5, 6]
    assert "not among the last 4" in run("show", "m:2")[1]
    for path in (store._root).rglob("*"):
        os.utime(path, (time.time() - 8 * DAY,) * 2)
    told = json.loads(run("gc", "--keep-last", "4", "--delete", "--json")[1])
    assert (told["versions"], len(told["blobs"])) == ([], 3)
    assert run("verify")[0] == 0
