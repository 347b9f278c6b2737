"""A version in another registry: the same digest, whole, whoever dies on the way."""

import json
from contextlib import suppress

import pytest

from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.copying import copy
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import delete_version, read_version, version_numbers


@pytest.fixture
def source(tmp_path, publish_version, monkeypatch):
    """A folder with `reviews:1` and `reviews:2`, that commands go to."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "source"))
    store = open_store(str(tmp_path / "source"))
    for number in (1, 2):
        publish_version(store, f"run-{number}")
    return store


def test_a_copy_has_the_same_digest_and_is_made_once(source, store, run):
    code, out, err = run("copy", "reviews:2", "--to", store.uri)
    assert (code, err) == (0, "")
    made, there = read_version(source, "reviews", 2), read_version(store, "reviews", 1)
    assert out == f"reviews:1 is copied: 15.7 kB, {made.digest}, run run-2, in {store.uri}\n"
    assert (there.digest, there.run_id, there.size, there.summary) == (
        made.digest, "run-2", made.size, made.summary,
    )  # fmt: skip
    assert run("copy", "reviews:2", "--to", store.uri)[1] == out.replace("is copied", "is there already")
    told = json.loads(run("copy", "reviews:2", "--to", store.uri, "--as", "other", "--json")[1])
    assert (told["name"], told["number"], told["made"], told["registry"]) == ("other", 1, True, store.uri)
    assert verify(store, "reviews:1").problems == verify(store, "other:1").problems == ()
    assert version_numbers(store, "reviews") == [1]


def test_what_is_damaged_there_is_replaced_and_what_is_whole_is_not_sent(source, tmp_path, publish_version):
    target = open_store(str(tmp_path / "target"))
    publish_version(target, "another")
    (largest, *_) = sorted((tmp_path / "target/blobs/sha256").iterdir(), key=lambda path: -path.stat().st_size)
    others = {path: path.stat().st_ino for path in largest.parent.iterdir() if path != largest}
    largest.write_bytes(b"x" * largest.stat().st_size)
    copy(source, read_version(source, "reviews", 1), target)
    assert {path: path.stat().st_ino for path in others} == others
    assert verify(target, "reviews:1").problems == verify(target, "reviews:2").problems == ()


def test_damaged_bytes_are_not_copied(source, tmp_path):
    blob = max((tmp_path / "source/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"x" * blob.stat().st_size)
    target = open_store(str(tmp_path / "target"))
    with pytest.raises(CorruptObject, match="is damaged: read 3 times"):
        copy(source, read_version(source, "reviews", 1), target)
    assert version_numbers(target, "reviews") == []
    assert not target.exists(blob_key(f"sha256:{blob.name}"))


class Killed(BaseException):
    """The process ends here."""


class Dying:
    """A real store whose process is killed before its n-th write."""

    def __init__(self, store, left):
        self.store, self.left = store, left

    def __getattr__(self, name):
        return getattr(self.store, name)

    def create(self, key, data):
        return self._write(self.store.create, key, data)

    def upload(self, key, path, *, sha256=None):
        return self._write(self.store.upload, key, path, sha256=sha256)

    def _write(self, step, *words, **more):
        self.left -= 1
        if self.left == 0:
            raise Killed
        return step(*words, **more)


@pytest.mark.parametrize("write_number", range(1, 12))
def test_a_copy_killed_at_any_write_leaves_a_whole_version_or_none(source, tmp_path, write_number):
    target, version = open_store(str(tmp_path / "target")), read_version(source, "reviews", 1)
    with suppress(Killed):
        copy(source, version, Dying(target, write_number))
    assert all(verify(target, f"reviews:{number}").problems == () for number in version_numbers(target, "reviews"))
    assert copy(source, version, target)[0].digest == version.digest
    assert version_numbers(target, "reviews") == [1]


def test_what_cannot_be_copied_is_one_sentence(source, run, tmp_path, bundle):
    target = open_store(str(tmp_path / "target"))
    publish(target, "reviews", bundle, run_id="run-1", config={"other": True})
    code, out, err = run("copy", "reviews:1", "--to", target.uri)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: reviews:1 in {target.uri} is of the same run (run-1) and has other files (manifest ")
    assert err.endswith("): give the copy another name\n")
    assert run("copy", "reviews:1", "--to", "gs://x")[2].startswith("error: stores of the kind 'gs://' are not known")
    assert run("copy", "reviews:9", "--to", target.uri)[2].startswith("error: there is no version 9 of 'reviews'")
    assert run("copy", "reviews:1", "--to", target.uri, "--as", "A")[2].startswith("error: 'A' is not a model name")
    run("copy", "reviews:2", "--to", target.uri)
    delete_version(target, read_version(target, "reviews", 2))
    assert run("copy", "reviews:2", "--to", target.uri)[2].startswith(
        f"error: in {target.uri} reviews:2 was deleted by"
    )
    delete_version(source, read_version(source, "reviews", 2))
    assert run("copy", "reviews:2", "--to", target.uri)[2].startswith("error: reviews:2 was deleted by")
