"""Collecting garbage: nothing that a version needs goes, whoever publishes or dies meanwhile; the rest goes."""

import itertools
import json
import os
import time
from pathlib import Path

import boto3
import pytest
from stopping import Process

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.sweep import collect, would_collect
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.alias import move, remove
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.layout import TRASH, blob_key, collection_key, trash_key, version_key
from tunewright.registry.versions.manifest import digest_of
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import digests_of, pull, read_manifest
from tunewright.registry.versions.record import delete_version, version_numbers

DAY = 86400.0
WEEK = 7 * DAY


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A registry in a folder, that commands go to."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    return open_store(str(tmp_path / "registry"))


def age(store, days, *prefixes):
    """Make all that lies below these prefixes so many days older."""
    for path in Path(store.uri).rglob("*"):
        if path.is_file() and path.relative_to(store.uri).as_posix().startswith(prefixes):
            status = path.stat()
            os.utime(path, (status.st_atime - days * DAY, status.st_mtime - days * DAY))


def orphan(store, data=b"nobody's"):
    """The digest of a blob that nothing refers to."""
    store.create(blob_key(digest_of(data)), data)
    return digest_of(data)


def test_what_nothing_refers_to_goes_once_it_is_old(store, publish_version):
    version = publish_version(store, "run-1")
    digest = orphan(store)
    assert collect(store, grace=DAY).blobs == []
    assert store.exists(blob_key(digest))
    done = collect(store, grace=-DAY)
    assert [stat.key for stat in done.blobs] == [blob_key(digest)]
    assert (done.size, done.restored, done.trash) == (8, [], 0)
    assert not store.exists(blob_key(digest))
    assert verify(store, str(version)).problems == ()
    assert list(store.list(TRASH)) == []
    assert collect(store, grace=-DAY).blobs == []


def test_what_a_deleted_version_needed_goes_after_the_grace_and_is_told(local, publish_version, write, tmp_path):
    publish_version(local, "run-1")
    alone = {"only.bin": write("only.bin", b"only here")}
    version = publish(local, "reviews", alone, run_id="run-2")
    delete_version(local, version)
    age(local, 30, "blobs/")
    assert collect(local, grace=WEEK).blobs == []
    assert pull(local, version, cache=tmp_path / "one").version == version
    age(local, 30, "models/")
    assert len(collect(local, grace=WEEK).blobs) == 3  # the file, the manifest, its configuration
    assert verify(local, "reviews:1").problems == ()
    with pytest.raises(NotFound, match=r"^reviews:2 was deleted by .*; choose another version$"):
        pull(local, version, cache=tmp_path / "two")


def test_what_an_alias_or_a_trial_points_at_stays(local, write):
    versions = [publish(local, "m", {"f": write(f"f{n}", bytes([n]))}, run_id=f"run-{n}") for n in (1, 2, 3)]
    move(local, "m", "production", 1)
    begin(local, "m", "production", 2, 10)
    for version in versions:  # whatever refuses it: another program may have done it
        delete_version(local, version)
    age(local, 30, "")
    assert len(collect(local, grace=WEEK).blobs) == 3
    assert [bool(verify(local, str(version)).problems) for version in versions] == [False, False, True]


def test_what_an_alias_that_is_removed_had_pointed_at_goes(local, publish_version):
    version = publish_version(local, "run-1")
    move(local, "reviews", "production", 1)
    delete_version(local, version)
    remove(local, "reviews", "production")
    age(local, 30, "")
    assert collect(local, grace=WEEK).blobs
    assert not local.exists(blob_key(version.digest))


def test_a_registry_that_is_not_understood_is_left_alone(local, publish_version):
    version = publish_version(local, "run-1")
    digest = orphan(local)
    age(local, 30, "")
    for key in (version_key("reviews", 1), blob_key(version.digest)):
        path = Path(local.uri) / key
        data = path.read_bytes()
        path.write_bytes(data.replace(b"e", b"f", 1))
        for ask in (lambda: collect(local, grace=WEEK), lambda: would_collect(local, grace=WEEK, now=time.time())):
            with pytest.raises(CorruptObject, match="nothing is collected from a registry that is not unders"):
                ask()
        path.write_bytes(data)
    local.create("models/reviews/labels/x", b"of a newer program")
    with pytest.raises(CorruptObject, match=r"labels/x' in .* is not an object of a registry"):
        collect(local, grace=WEEK)
    assert local.exists(blob_key(digest))


def test_what_a_collection_that_died_has_taken_is_put_back(local, publish_version):
    version = publish_version(local, "run-1")
    digests = digests_of(version, read_manifest(local, version))
    local.create(collection_key("dead"), b"")
    for digest in digests:
        local.copy(blob_key(digest), trash_key("dead", digest))
        local.delete(blob_key(digest))
    before = list(local.list(""))
    assert would_collect(local, grace=WEEK, now=time.time()).blobs == []
    assert list(local.list("")) == before
    assert sorted(collect(local, grace=WEEK).restored) == sorted(digests)
    assert verify(local, str(version)).problems == ()
    age(local, 30, "")
    assert collect(local, grace=WEEK).restored == []
    assert list(local.list(TRASH)) == []


def test_unfinished_writes_go_once_they_are_old(local):
    for place in ("blobs/sha256", "models/m/versions"):
        (Path(local.uri) / place).mkdir(parents=True)
        (Path(local.uri) / place / ".tmp-1").write_bytes(b"half")
    assert collect(local, grace=WEEK).leftovers == []
    age(local, 30, "")
    assert [one.key for one in collect(local, grace=WEEK).leftovers] == [
        "blobs/sha256/.tmp-1",
        "models/m/versions/.tmp-1",
    ]
    assert list(local.leftovers("")) == []


def test_unfinished_uploads_to_the_registry_go_and_no_others(s3_uri):
    client, store = boto3.client("s3"), open_store(s3_uri)
    bucket = s3_uri.split("/")[2]
    for key in ("registry/blobs/sha256/a", "registry-2/blobs/sha256/a", "data/b"):
        begun = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=1, Body=b"x" * 1000)
    assert [(one.key, one.size) for one in store.leftovers("blobs/")] == [("blobs/sha256/a", 1000)]
    assert collect(store, grace=100 * 365 * DAY).leftovers == []  # moto says that each began in 2010
    assert len(collect(store, grace=WEEK).leftovers) == 1
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert sorted(one["Key"] for one in left) == ["data/b", "registry-2/blobs/sha256/a"]


def test_the_command_tells_what_would_go_and_does_it_when_told_to(local, run, publish_version):
    publish_version(local, "run-1")
    digest = orphan(local)
    nothing = "0 blobs and 0 unfinished writes, 0 bytes: would be removed; --delete does it\n"
    assert run("gc") == (0, nothing, "")
    age(local, 8, "")
    told = f"BLOB{' ' * 69}SIZE\n{digest}  8 bytes\n1 blob and 0 unfinished writes, 8 bytes: "
    assert run("gc", "--grace", "9d") == (0, nothing, "")
    assert run("gc") == (0, told + "would be removed; --delete does it\n", "")
    assert local.exists(blob_key(digest))
    assert [path for path in Path(local.uri).iterdir() if path.name == "gc"] == []
    facts = json.loads(run("stats", "--json")[1])
    assert (facts["models"], facts["versions"], facts["unreferenced"], facts["shared"]) == (1, 1, 8, 0)
    assert run("gc", "--delete") == (0, told + "removed\n", "")
    assert not local.exists(blob_key(digest))
    assert json.loads(run("gc", "--delete", "--json")[1])["blobs"] == []
    publish_version(local, "run-2")
    lines = dict(line.split(maxsplit=1) for line in run("stats")[1].splitlines())
    assert (lines["versions"], lines["shared"], lines["unreferenced"]) == ("2", lines["referenced"], "0 bytes")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--grace", "1h"], "--grace 1h is too short: a publication may take so long; expected 1d or more"),
        (["--grace", "soon"], "--grace 'soon' is not a time; expected days or hours, as in 7d or 36h"),
        (["--keep-last", "0"], "--keep-last 0 would keep no version; expected 1 or more"),
        (["--keep-last", "1", "--held-within", "9"], "--held-within '9' is not a time; expected days or hours, as in "),
        (["--held-within", "9d"], "--held-within has no effect without --keep-last, which says how many versions stay"),
    ],
)
def test_words_that_make_no_sense_are_one_sentence(local, run, words, sentence):
    code, out, err = run("gc", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence}")


def test_an_old_blob_that_a_publisher_relies_on_is_written_again(local, write):
    files = {"f": write("f", b"shared")}
    publish(local, "m", files, run_id="run-1")
    collect(local, grace=WEEK)
    age(local, 30, "blobs/")
    written = {path: path.stat().st_ino for path in (Path(local.uri) / "blobs/sha256").iterdir()}
    publish(local, "m", files, run_id="run-2")  # the version before needs them: they stay
    assert {path: path.stat().st_ino for path in written} == written
    publish(local, "other", files, run_id="run-1")
    assert all(path.stat().st_ino != written[path] for path in written)


@pytest.fixture
def alone(monkeypatch):
    """One call of a process at a time, so that it can be stopped there."""
    monkeypatch.setattr("tunewright.registry.transfer.parallel._WORKERS", 1)


def claim(process):
    """Go on to where the version is just claimed."""
    while not (process.ended or (process.next[0] == "create" and "/versions/" in process.next[1])):
        process.step()
    process.step()


@pytest.mark.parametrize("then", [Process.finish, claim])
def test_a_collection_that_stands_still_before_it_removes_a_blob_takes_no_version_with_it(tmp_path, write, then, alone):
    """It has seen that the blob is old and that nobody needs it; a publisher comes to each of its calls meanwhile."""
    files, is_over = {"f": write("f", b"shared")}, False
    for calls in itertools.count(1):
        store = open_store(str(tmp_path / f"registry-{calls}"))
        orphan(store, b"shared")
        collect(store, grace=WEEK)
        age(store, 30, "")
        collection = Process(store, lambda store: collect(store, grace=WEEK))
        while collection.next[:2] != ("delete", blob_key(digest_of(b"shared"))):
            collection.step()
        publisher = Process(store, lambda store: publish(store, "m", files, run_id="run-1"))
        publisher.step(calls)
        is_over = publisher.ended
        collection.finish()
        then(publisher)
        if publisher.result:
            assert verify(store, "m:1").problems == ()
        publisher.kill()
        collect(store, grace=WEEK)
        assert [verify(store, f"m:{number}").problems for number in version_numbers(store, "m")] in ([], [()])
        if is_over:
            return
