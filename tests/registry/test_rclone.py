"""rclone's S3 server overwrites in spite of If-None-Match: refused, unless a single writer is promised.

It also checks signatures, which moto does not, so wrong credentials are tested here.
"""

import pytest

from tunewright.registry.errors import AccessDenied, UnsafeStore
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import current, move
from tunewright.registry.versions.pull import pull


def test_nothing_is_published_where_versions_could_be_lost(rclone_uri, publish_version):
    store = open_store(rclone_uri)
    with pytest.raises(UnsafeStore, match=r"ignores conditional writes .* REGISTRY_SINGLE_WRITER=true"):
        publish_version(store, "run-1")
    assert list(store.list("models/")) == []


def test_no_alias_is_moved_where_moves_could_be_lost(rclone_uri, publish_version):
    publish_version(open_store(rclone_uri, single_writer=True), "run-1")
    with pytest.raises(UnsafeStore):
        move(open_store(rclone_uri), "reviews", "production", 1)


def test_a_single_writer_can_use_it(rclone_uri, publish_version, tmp_path):
    store = open_store(rclone_uri, single_writer=True)
    assert [publish_version(store, run).number for run in ("run-1", "run-2", "run-1")] == [1, 2, 1]
    move(store, "reviews", "production", 2)
    assert current(store, "reviews", "production") == 2
    assert (pull(store, "reviews@production", cache=tmp_path / "cache").folder / "model.json").is_file()


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("AWS_SECRET_ACCESS_KEY", "the secret key is not the one of the access key; check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "the access key is not known there; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_credentials_are_one_sentence(rclone_uri, monkeypatch, variable, sentence):
    monkeypatch.setenv(variable, "wrong-wrong")
    store = open_store(rclone_uri)
    # A HEAD is answered by a bare 403, so stat has to find out more.
    for question in (lambda: store.stat("key"), lambda: store.read("key"), lambda: store.exists("key")):
        with pytest.raises(AccessDenied) as error:
            question()
        assert str(error.value).endswith(sentence)
        assert "wrong-wrong" not in str(error.value)
