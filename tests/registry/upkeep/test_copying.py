"""A version in another registry: the same digest, whole, whoever dies on the way."""

import json
import re
from contextlib import suppress

import pytest
from fault_proxy import FaultProxy, Handler

from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.s3_client import connect
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


class Signed(Handler):
    """A server that notes whose keys a request is signed with, and for which region."""

    def do(self):
        self.server.proxy.signed.add(
            tuple(re.search(r"Credential=(\w+)/\d+/([\w-]+)/", self.headers["Authorization"]).groups())
        )
        super().do()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do


@pytest.mark.parametrize("is_service", [False, True], ids=["endpoint", "services"])
def test_the_other_registry_is_reached_as_a_profile_says(
    s3_uri, s3_endpoint, run, publish_version, write, monkeypatch, is_service
):
    ours, theirs = (FaultProxy(s3_endpoint, Signed) for _ in range(2))
    ours.signed, theirs.signed = set(), set()
    named = f"services = there\n[services there]\ns3 =\n  endpoint_url = {theirs.url}" if is_service else ""
    lines = ["[profile archive]", "aws_access_key_id = their", "aws_secret_access_key = secret", "region = eu-west-3"]
    lines += [named or f"endpoint_url = {theirs.url}", "[profile amazon]", "region = eu-west-3"]
    monkeypatch.setenv("AWS_CONFIG_FILE", str(write("config", "\n".join(lines).encode())))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", ours.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "our")
    monkeypatch.setenv("REGISTRY_URI", s3_uri)
    publish_version(open_store(s3_uri), "run-1")
    told = run("copy", "reviews:1", "--to", f"{s3_uri}-archive", "--to-profile", "archive", "--json")
    assert (told[0], json.loads(told[1])["made"]) == (0, True)
    assert (ours.signed, theirs.signed) == ({("our", "us-east-1")}, {("their", "eu-west-3")})
    assert run("copy", "reviews:1", "--to", s3_uri, "--to-profile", "none") == (
        2, "", "error: The config profile (none) could not be found; check its name: the AWS configuration has "
        "amazon, archive\n",
    )  # fmt: skip
    assert run("copy", "reviews:1", "--to", "folder", "--to-profile", "archive") == (
        2, "", "error: the profile 'archive' would have no effect: folder is no bucket; leave it out\n",
    )  # fmt: skip
    assert connect("amazon").meta.endpoint_url == "https://s3.eu-west-3.amazonaws.com"
    for proxy in (ours, theirs):
        proxy.close()
