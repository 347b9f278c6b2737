"""Records of both formats, the numbers that they give away, and what is served under a number."""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.verify import verify, verify_model
from tunewright.registry.versions.alias import current, held, history, last_move, move, promoted, remove, rollback
from tunewright.registry.versions.canary import running
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import deletion_key, move_key, run_key, version_key
from tunewright.registry.versions.publish import find_run, publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import (
    delete_version,
    read_version,
    summarize,
    to_bytes,
    version_numbers,
    where,
    who,
)
from tunewright.registry.versions.reference import resolve
from tunewright.registry.versions.watch import has_moved, look

FORMAT_1 = Path(__file__).parent / "format_1"
"""A registry that the last program of format 1 has written: reviews:1 to 3, production 1, 2, 3 and back, staging 3."""


@pytest.fixture
def folder(tmp_path):
    """The folder of a registry of format 1."""
    return shutil.copytree(FORMAT_1, tmp_path / "registry")


@pytest.fixture
def old(folder):
    """The store there."""
    return open_store(str(folder))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fields(path):
    found = json.loads(path.read_text())
    del found["sha256"]
    return found


def test_a_registry_of_format_1_is_read_moved_and_published_to_and_nothing_there_changes(folder, old, bundle, tmp_path):
    before = contents(folder)
    assert version_numbers(old, "reviews") == [1, 2, 3]
    assert [entry.number for entry in history(old, "reviews", "production")] == [1, 2, 3, 2]
    assert running(old, "reviews", "production").number == 3
    pulled = pull(old, "reviews@production", cache=tmp_path / "cache")
    assert (pulled.folder / "onnx/fp32/model.onnx").read_text() == "the weights of version 2\n"
    assert verify(old, "reviews:1").problems == ()
    assert find_run(old, "reviews", "run-2") == read_version(old, "reviews", 2) == pulled.version
    assert rollback(old, "reviews", "production").number == 1
    fourth = publish(old, "reviews", bundle, run_id="run-4")
    assert (fourth.number, fourth.previous) == (4, read_version(old, "reviews", 3).digest)
    assert move(old, "reviews", "production", 4).previous == 1
    assert rollback(old, "reviews", "production").number == 1
    assert [entry.highest for entry in history(old, "reviews", "production")] == [None] * 4 + [3, 4, 4]
    assert before.items() <= contents(folder).items()
    assert fields(folder / move_key("reviews", "production", 5))["format"] == 3


def test_moves_of_each_format_stay_as_they_are_and_what_is_newer_is_refused(old, folder):
    move(old, "reviews", "staging", 3)
    for entry, form in ((2, 2), (3, 3)):
        path = folder / move_key("reviews", "staging", entry)
        move(old, "reviews", "staging", 4 - entry, force=True)
        path.write_bytes(seal(fields(path) | {"format": form}))  # 2 with a record, as it was written for some hours
    assert [entry.format for entry in history(old, "reviews", "staging")] == [1, 2, 3]
    assert remove(old, "reviews", "staging").fields["format"] == (3 if where() else 2)
    assert [seal(entry.fields) for entry in history(old, "reviews", "staging")] == [
        (folder / move_key("reviews", "staging", entry)).read_bytes() for entry in (1, 2, 3, 4)
    ]
    path.write_bytes(seal(fields(path) | {"format": 4}))
    with pytest.raises(CorruptObject, match="has format 4; this program reads format 1, 2 and 3; update it"):
        history(old, "reviews", "staging")


def test_a_record_is_written_as_it_was_read(old, publish_version, folder):
    publish_version(old, "run-4")
    for number in (1, 4):
        assert to_bytes(read_version(old, "reviews", number)) == (folder / version_key("reviews", number)).read_bytes()


def test_a_record_that_mixes_the_formats_is_refused(old, folder):
    path = folder / version_key("reviews", 1)
    first = fields(path)
    for changes, sentence in [
        ({"format": 2}, "is not a version's record: format 2 has a field 'previous'"),
        ({"who": "ada@host"}, "is not a version's record: format 1 has no field 'who'"),
        ({"format": 3}, "has format 3; this program reads format 1 and 2; update it"),
    ]:
        path.write_bytes(seal(first | changes))
        with pytest.raises(CorruptObject) as error:
            read_version(old, "reviews", 1)
        assert str(error.value) == f"{version_key('reviews', 1)!r} in {old.uri} {sentence}"


def test_what_was_not_promoted_is_not_served_under_its_number(old, folder, publish_version):
    version = publish_version(old, "run-4")
    move(old, "reviews", "production", 4)
    other = fields(folder / version_key("reviews", 4)) | {"digest": read_version(old, "reviews", 1).digest}
    (folder / version_key("reviews", 4)).write_bytes(seal(other))
    assert resolve(old, "reviews@production") == look(old, "reviews@production").version == version
    sentence = (
        f"reviews@production points at version 4 with the manifest {version.digest}, and the record of reviews:4 "
        f"in {old.uri} names {other['digest']}: this is not what was promoted; promote a version anew"
    )
    made = last_move(old, "reviews", "production")
    for ask in (lambda: promoted(old, made), lambda: held(old, replace(made, record=None))):
        with pytest.raises(CorruptObject) as error:
            ask()
        assert str(error.value) == sentence
    faults = []
    list(verify_model(old, "reviews", known={}, on_fault=faults.append))
    assert sentence in faults
    assert move(old, "reviews", "production", 4).digest == other["digest"]
    assert resolve(old, "reviews@production").number == 4


def test_an_entry_that_was_exchanged_is_seen(old, folder):
    move(old, "reviews", "production", 3)
    path = folder / move_key("reviews", "production", 4)
    path.write_bytes(seal(fields(path) | {"number": 1}))
    with pytest.raises(CorruptObject) as error:
        history(old, "reviews", "production")
    assert str(error.value) == (
        f"entry 5 of reviews@production in {old.uri} was made after another entry 4 than is there now: one of them "
        "was exchanged"
    )


def test_a_number_that_an_alias_tells_of_is_not_given_again(old, folder, publish_version):
    (folder / version_key("reviews", 3)).unlink()
    assert version_numbers(old, "reviews") == [1, 2]
    assert publish_version(old, "run-4").number == 4
    with pytest.raises(NotFound, match=r"there is no version 3 of 'reviews' in .*; there is 1, 2, 4"):
        resolve(old, "reviews@staging")


def test_a_number_that_a_run_or_a_deletion_tells_of_is_not_given_again(store, publish_version, tmp_path):
    registry = tmp_path / "registry"
    old = open_store(str(registry))
    for number in (1, 2, 3):
        publish_version(old, f"run-{number}")
    for number in (2, 3):
        (registry / version_key("reviews", number)).unlink()
    assert publish_version(old, "run-4").number == 3, "the last run began after version 2"
    delete_version(old, read_version(old, "reviews", 3))
    (registry / version_key("reviews", 3)).unlink()
    assert publish_version(old, "run-5").number == 4


def test_rubbish_that_tells_of_numbers_stops_no_publisher(old, folder, publish_version):
    (folder / move_key("reviews", "staging", 2)).write_text("rubbish")
    (folder / run_key("reviews", "stranger")).write_text("rubbish")
    (folder / deletion_key("reviews", 10**17)).write_text("rubbish")
    entry = fields(folder / move_key("reviews", "production", 4))
    (folder / move_key("reviews", "production", 4)).write_bytes(seal(entry | {"number": 10**17}))
    assert publish_version(old, "run-4").number == 4


def test_a_run_finds_its_version_above_one_that_has_vanished(store, publish_version, tmp_path):
    registry = tmp_path / "registry"
    old = open_store(str(registry))
    publish_version(old, "run-1")
    late = seal({"format": 1, "run_id": "late", "after": 0, "begun": "2026-01-01T00:00:00Z"})
    old.create(run_key("reviews", "late"), late)
    version = publish_version(old, "late")
    (registry / version_key("reviews", 1)).unlink()
    assert find_run(old, "reviews", "late") == publish_version(old, "late") == version
    assert find_run(old, "reviews", "run-1") is None


def test_a_deleted_version_is_passed_over_but_what_is_pinned_to_it_goes_on(store, publish_version):
    versions = [publish_version(store, f"run-{number}") for number in (1, 2)]
    gone = delete_version(store, versions[1], reason="wrong data")
    assert delete_version(store, versions[1], reason="again") == gone
    assert (version_numbers(store, "reviews"), resolve(store, "reviews")) == ([1], versions[0])
    assert resolve(store, "reviews:2") == versions[1]
    seen = look(store, "reviews")
    assert (seen.version, has_moved(store, seen)) == (versions[0], False)
    with pytest.raises(NotFound) as error:
        move(store, "reviews", "production", 2)
    assert str(error.value) == (
        f"reviews:2 was deleted by {who()} ({gone.deleted}): wrong data; choose another version"
    )
    move(store, "reviews", "production", 1)
    assert current(store, "reviews", "production") == 1


def test_a_version_names_the_one_before_it(store, publish_version, bundle, write):
    first = publish_version(store, "run-1")
    second = publish(store, "reviews", bundle | {"notes.txt": write("notes", b"new")}, run_id="run-2")
    assert (first.previous, second.previous, second.who) == (None, first.digest, who())


def test_figures_that_are_no_numbers_are_left_out_of_a_summary():
    assert str(summarize("t", "rmse", 1.23456, None)) == "rmse 1.235"
    assert str(summarize("t", "rmse", 1.0, (float("nan"), 2.0))) == "rmse 1.000"
    assert str(summarize("t", "perplexity", float("inf"), (1.0, 2.0))) == str(summarize("t", "f1", None, None)) == "-"


def test_a_user_without_a_name_has_a_number(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert who().partition("@")[0].isdigit()


_GITHUB = {"ACTIONS": "true", "SERVER_URL": "https://github.com", "REPOSITORY": "a/b", "RUN_ID": "7"}


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({}, None),
        ({f"GITHUB_{name}": value for name, value in _GITHUB.items()}, "https://github.com/a/b/actions/runs/7"),
        ({"BUILD_URL": "https://ci/job/7\n"}, "https://ci/job/7"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAMESPACE": "ml"}, f"pod ml/{socket.gethostname()}"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, f"pod -/{socket.gethostname()}"),
    ],
)
def test_where_a_program_runs_is_told_by_its_environment(monkeypatch, told, place):
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    monkeypatch.setattr("tunewright.registry.versions.record._NAMESPACE", Path("/nowhere"))
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert where() == place
