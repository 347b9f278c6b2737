"""Collecting garbage: nothing that a version needs goes, whoever publishes or dies meanwhile; the rest goes."""

import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import boto3
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.sweep import collect, would_collect
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.layout import TRASH, blob_key, collection_key, trash_key, version_key
from tunewright.registry.versions.manifest import digest_of
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import digests_of, pull, read_manifest
from tunewright.registry.versions.record import delete_version, read_version, version_numbers

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
    told = f"BLOB{' ' * 69}SIZE\n{digest}  8 bytes\n1 blobs and 0 unfinished writes, 8 bytes: "
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


class Killed(BaseException):
    """The process ends here."""


class Process:
    """A process that stands still before each call of its store until it may go on, and may be killed there."""

    def __init__(self, store, work):
        self._store, self._turn, self._stood = store, threading.Semaphore(0), threading.Semaphore(0)
        self.ended = self.killed = False
        self.result = self.error = self.next = None
        threading.Thread(target=self._run, args=(work,), daemon=True).start()
        self._stood.acquire()

    def _run(self, work):
        try:
            self.result = work(self)
        except BaseException as error:
            self.error = None if isinstance(error, Killed) else error
        self.ended = True
        self._stood.release()

    def step(self, times=1):
        for _ in range(times):
            if not self.ended:
                self._turn.release()
                self._stood.acquire()
        if self.error:
            raise self.error

    def kill(self):
        self.killed = True
        while not self.ended:
            self.step()

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*words, **more):
            self.next = (name, *words)
            self._stood.release()
            self._turn.acquire()
            if self.killed:
                raise Killed
            return list(found(*words, **more)) if name in ("list", "leftovers") else found(*words, **more)

        return call


def finish(process):
    while not process.ended:
        process.step()


def claim(process):
    """Go on to where the version is just claimed."""
    while not (process.ended or (process.next[0] == "create" and "/versions/" in process.next[1])):
        process.step()
    process.step()


@pytest.mark.parametrize("then", [finish, claim])
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
        finish(collection)
        then(publisher)
        if publisher.result:
            assert verify(store, "m:1").problems == ()
        publisher.kill()
        collect(store, grace=WEEK)
        assert [verify(store, f"m:{number}").problems for number in version_numbers(store, "m")] in ([], [()])
        if is_over:
            return


FILES = (b"base weights", b"one", b"two")
NAMES = ("a", "b")


class Room(RuleBasedStateMachine):
    """Publishers and collections that stop, go on and die at any call, while time passes and versions are deleted."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.store = open_store(str(self.folder / "registry"))
        for number, data in enumerate(FILES):
            (self.folder / str(number)).write_bytes(data)
            orphan(self.store, data)
        collect(self.store, grace=WEEK)
        age(self.store, 30, "")
        self.publishers, self.collections, self.runs = [], [], []
        self.broken_off = False  # whether a collection was killed, and none has ended since
        self.told = set()

    def going(self):
        return [one for one in (*self.publishers, *self.collections) if not one.ended]

    @rule(
        name=st.sampled_from(NAMES), some=st.sets(st.sampled_from(range(len(FILES))), min_size=1), again=st.booleans()
    )
    def begin_to_publish(self, name, some, again):
        if len(self.going()) < 3:
            made = (name, f"run-{len(self.runs)}", {str(one): self.folder / str(one) for one in some})
            if again and self.runs:
                made = self.runs[-1]
            self.runs.append(made)
            name, run_id, files = made
            self.publishers.append(Process(self.store, lambda store: publish(store, name, files, run_id=run_id)))

    @rule()
    def begin_to_collect(self):
        if len(self.going()) < 3:
            self.collections.append(Process(self.store, lambda store: collect(store, grace=WEEK)))

    @precondition(lambda self: self.going())
    @rule(which=st.integers(0, 2), times=st.integers(1, 30))
    def go_on(self, which, times):
        going = self.going()
        going[which % len(going)].step(times)
        self.hear()

    @precondition(lambda self: self.going())
    @rule(which=st.integers(0, 2))
    def kill(self, which):
        going = self.going()
        going[which % len(going)].kill()
        self.broken_off = self.broken_off or going[which % len(going)] in self.collections
        self.hear()

    @precondition(lambda self: self.going())
    @rule()
    def let_all_end(self):
        self.finish()

    @rule(name=st.sampled_from(NAMES), which=st.integers(0, 3))
    def delete(self, name, which):
        if numbers := version_numbers(self.store, name):
            version = read_version(self.store, name, numbers[which % len(numbers)])
            delete_version(self.store, version)
            self.told.discard(version)

    @precondition(lambda self: not self.going())
    @rule()
    def let_a_month_pass(self):
        age(self.store, 30, "")
        self.runs.clear()  # tried again so late, a run that dies once more is outside of what is promised

    @invariant()
    def what_was_told_is_whole_or_in_the_trash_of_who_takes_it(self):
        trash = set()  # what a collection has ended with is no excuse
        if self.collections or self.broken_off:
            trash = {stat.key.rpartition("/")[2] for stat in self.store.list(TRASH)}
        for version in self.told:
            missing = {digest.removeprefix("sha256:") for digest in self.needed(version, trash)} - self.blobs()
            assert missing <= trash, f"{version} has lost {missing}"

    def needed(self, version, trash):
        digest = version.digest.removeprefix("sha256:")
        if digest not in self.blobs():
            assert digest in trash
            return {version.digest}
        return digests_of(version, read_manifest(self.store, version))

    def blobs(self):
        return {stat.key.rpartition("/")[2] for stat in self.store.list("blobs/")}

    def hear(self):
        for one in self.publishers:
            if one.ended and one.result and one.result.number in version_numbers(self.store, one.result.name):
                self.told.add(one.result)
        self.broken_off = self.broken_off and not any(one.ended and not one.killed for one in self.collections)
        self.publishers = [one for one in self.publishers if not one.ended]
        self.collections = [one for one in self.collections if not one.ended]

    def finish(self):
        for one in self.going():
            finish(one)
        self.hear()

    def teardown(self):
        self.finish()
        collect(self.store, grace=WEEK)
        for name in NAMES:
            for number in version_numbers(self.store, name):
                assert verify(self.store, f"{name}:{number}").problems == ()
        age(self.store, 30, "")
        for _ in range(2):
            collect(self.store, grace=WEEK)
        needed = [digests_of(version, read_manifest(self.store, version)) for version in self.live()]
        assert self.blobs() == {digest.removeprefix("sha256:") for digests in needed for digest in digests}
        assert list(self.store.list(TRASH)) == []
        shutil.rmtree(self.folder)

    def live(self):
        return [read_version(self.store, name, n) for name in NAMES for n in version_numbers(self.store, name)]


def test_no_version_loses_a_blob_and_all_others_go(alone):
    run_state_machine_as_test(Room, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
