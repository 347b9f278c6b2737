"""Publishing: one version per run, whole versions only, numbers without gaps, whoever dies on the way."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from tunewright.registry.errors import BadReference, Conflict, CorruptObject, RegistryError
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.layout import blob_key, mark_key, run_key, version_key, version_marks
from tunewright.registry.versions.numbered import FORMAT
from tunewright.registry.versions.publish import describe, find_run, publish
from tunewright.registry.versions.record import Version, read_version, to_bytes, version_numbers


def test_versions_are_numbered_from_one(store, publish_version):
    versions = [publish_version(store, f"run-{number}") for number in (1, 2, 3)]
    assert [version.number for version in versions] == [1, 2, 3]
    assert version_numbers(store, "reviews") == [1, 2, 3]
    assert read_version(store, "reviews", 2) == versions[1]


def test_a_repeated_run_gets_its_version_again(store, publish_version):
    first = publish_version(store, "run-1")
    publish_version(store, "run-2")
    assert publish_version(store, "run-1") == first
    assert version_numbers(store, "reviews") == [1, 2]
    assert find_run(store, "reviews", "run-1") == first


def test_a_run_that_published_nothing_is_not_found(store, publish_version):
    publish_version(store, "run-1")
    assert find_run(store, "reviews", "run-2") is None


def test_equal_bytes_are_stored_once(store, publish_version):
    publish_version(store, "run-1")
    blobs = list(store.list("blobs/"))
    publish_version(store, "run-2")
    publish_version(store, "run-3", name="other-model")
    assert list(store.list("blobs/")) == blobs


def test_every_key_and_record_has_the_frozen_form(store, publish_version):
    version = publish_version(store, "run-1")
    mark, *keys = [stat.key for stat in store.list("") if not stat.key.startswith("blobs/")]
    assert mark == mark_key(version_marks("reviews"), 1) == "marks/reviews/versions/00999999999999999999.at"
    assert keys == [run_key("reviews", "run-1"), version_key("reviews", 1), "probe/create-only"]
    stored = {key: json.loads(store.read(key)) for key in keys[:2]}
    assert [fields["format"] for fields in stored.values()] == [1, FORMAT] == [1, 2]
    assert set(stored[keys[0]]) == {"format", "run_id", "after", "begun", "sha256"}
    first = {"format", "name", "number", "digest", "run_id", "created", "size", "sha256"}
    assert set(stored[keys[1]]) == first | {"previous", "who", "summary"}
    assert set(vars(version.summary)) == {"task", "metric", "value", "interval"}


@pytest.mark.slow
def test_racing_publishers_get_contiguous_complete_versions(s3_uri, bundle, write):
    def run(number):
        files = bundle | {"notes.txt": write(f"notes-{number}", str(number).encode())}
        return publish(open_store(s3_uri), "reviews", files, run_id=f"run-{number}")

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(run, range(16)))
    store = open_store(s3_uri)
    assert sorted(version.number for version in versions) == list(range(1, 17))
    assert len({version.run_id for version in versions}) == len({version.digest for version in versions}) == 16
    assert [verify(store, f"reviews:{number}").problems for number in (1, 8, 16)] == [(), (), ()]


def test_racing_attempts_of_one_run_make_one_version(s3_uri, publish_version):
    def attempt(number):
        return publish_version(open_store(s3_uri), "run-1" if number % 2 else f"other-{number}")

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(attempt, range(12)))
    assert len({version.number for version in versions if version.run_id == "run-1"}) == 1
    assert version_numbers(open_store(s3_uri), "reviews") == list(range(1, 8))


class Killed(BaseException):
    """The process ends here."""


class Dying:
    """A real store whose process is killed before or after its n-th write."""

    def __init__(self, store, write, moment):
        self.store, self.left, self.moment = store, write, moment

    def __getattr__(self, name):
        return getattr(self.store, name)

    def create(self, key, data):
        return self._write(lambda: self.store.create(key, data))

    def upload(self, key, path, *, sha256=None):
        return self._write(lambda: self.store.upload(key, path, sha256=sha256))

    def _write(self, step):
        self.left -= 1
        if self.left == 0 and self.moment == "before":
            raise Killed
        done = step()
        if self.left == 0:
            raise Killed
        return done


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write_number", range(1, 12))
def test_a_publisher_killed_at_any_write_loses_and_doubles_nothing(tmp_path, publish_version, write_number, moment):
    store = open_store(str(tmp_path / "registry"))
    publish_version(store, "run-0", name="warm")  # the probe's own writes are not counted
    with suppress(Killed):
        publish_version(Dying(store, write_number, moment), "run-1")
    assert all(verify(store, f"reviews:{number}").problems == () for number in version_numbers(store, "reviews"))
    publish_version(store, "run-2")
    again = publish_version(store, "run-1")
    assert version_numbers(store, "reviews") == [1, 2]
    assert again == publish_version(store, "run-1") == find_run(store, "reviews", "run-1")
    assert verify(store, str(again)).problems == ()


class Overtaken:
    """A real store on which something else happens just before this process's first write."""

    def __init__(self, store, event):
        self.store, self.event = store, event

    def __getattr__(self, name):
        return getattr(self.store, name)

    def create(self, key, data):
        event, self.event = self.event, None
        if event:
            event()
        return self.store.create(key, data)


def test_a_pod_overtaken_by_its_replacement_makes_no_second_version(store, publish_version):
    """Both have looked, and neither has found a version of the run."""
    replacement = []
    late = Overtaken(store, lambda: replacement.append(publish_version(store, "run-1")))
    assert publish_version(late, "run-1") == replacement[0]
    assert version_numbers(store, "reviews") == [1]


def test_a_publisher_that_slept_for_long_takes_a_later_number(store, publish_version, monkeypatch):
    """Its view of the store is old: it believes that number 1 is free."""
    for number in (1, 2, 3):
        publish_version(store, f"run-{number}")
    monkeypatch.setattr("tunewright.registry.versions.publish._highest_told", lambda *_: 0)
    assert publish_version(store, "sleeper").number == 4
    assert publish_version(store, "sleeper").number == 4


@pytest.mark.parametrize("path", ["runs/run-1.json", "versions/00000000000000000001.json"])
def test_a_lost_answer_to_any_record_changes_nothing(faulty_uri, faults, publish_version, path):
    fault = faults.inject("lose", "PUT", path)
    version = publish_version(open_store(faulty_uri), "run-1")
    assert (fault.seen, version.number) == (1, 1)
    assert publish_version(open_store(faulty_uri), "run-2").number == 2


def test_the_requests_of_a_publication_do_not_grow_with_the_versions(faulty_uri, faults, publish_version):
    store, spent = open_store(faulty_uri), []
    for number in range(1, 5):
        faults.requests.clear()
        publish_version(store, f"run-{number}")
        if number == 1:
            move(store, "reviews", "production", 1)
        spent.append([method for method, path in faults.requests if "/blobs/" not in path])
    # The run, the listing, then the run that began last and the alias, the version before; run, version and its mark
    # are created. Twice it is asked whether blobs are collected here.
    assert spent[1] == spent[2] == spent[3] == ["GET", "GET", "GET", "GET", "PUT", "HEAD", "GET", "PUT", "PUT", "HEAD"]


def test_a_file_that_changes_while_it_is_published_is_refused(store, bundle, monkeypatch):
    honest = store.upload

    def late(key, path, *, sha256=None):
        path.write_bytes(path.read_bytes() + b"!")
        honest(key, path, sha256=sha256)

    monkeypatch.setattr(store, "upload", late)
    with pytest.raises(Conflict, match="changed while it was published; write files first, publish then"):
        publish(store, "reviews", bundle, run_id="run-1")
    assert version_numbers(store, "reviews") == []
    assert list(store.list("blobs/")) == []


def test_what_was_hashed_before_is_not_hashed_again_and_must_not_have_changed(store, bundle):
    hashed = describe(bundle)[:1]
    first = bundle[hashed[0].path]
    whole = first.read_bytes()
    first.write_bytes(whole + b"!")
    with pytest.raises(Conflict, match="changed while it was published"):
        publish(store, "reviews", bundle, run_id="run-1", hashed=hashed)
    first.write_bytes(whole)
    made = publish(store, "reviews", bundle, run_id="run-1", hashed=hashed)
    assert made.digest == publish(store, "others", bundle, run_id="run-1").digest


def test_a_blob_of_the_wrong_size_is_sent_again(store, publish_version, bundle, write):
    version = publish_version(store, "run-1")
    key = next(stat.key for stat in store.list("blobs/") if stat.size == bundle["model.json"].stat().st_size)
    store.upload(key, write("damaged", b"half"))
    assert verify(store, str(version)).problems != ()
    publish_version(store, "run-2")
    assert verify(store, str(version)).problems == ()


def test_no_version_is_born_damaged_and_what_was_damaged_is_whole_again(publish_version, tmp_path):
    store = open_store(str(tmp_path / "registry"))
    publish_version(store, "run-1")
    for number, stat in enumerate(list(store.list("blobs/")), 2):
        path = tmp_path / "registry" / stat.key
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        assert publish_version(store, f"run-{number}").number == number
        assert verify(store, "reviews:1").problems == verify(store, f"reviews:{number}").problems == ()


def test_a_file_that_is_not_there_is_named(store, tmp_path):
    with pytest.raises(BadReference) as error:
        publish(store, "reviews", {"model.json": tmp_path / "nothing"}, run_id="run-1")
    assert str(error.value) == (
        f"'model.json' cannot be published: {tmp_path / 'nothing'} cannot be read (No such file or directory)"
    )


@pytest.mark.parametrize(
    ("name", "files", "run_id", "sentence"),
    [
        ("Reviews", ["a"], "r", "'Reviews' is not a model name"),
        ("reviews", ["a"], "a/b", "'a/b' is not a run id"),
        ("reviews", ["../a"], "r", "'../a' is not a usable file path"),
        ("reviews", [], "r", "a version has 1 to 4096 files, not 0"),
    ],
)
def test_impossible_requests_are_refused(store, write, name, files, run_id, sentence):
    with pytest.raises(BadReference) as error:
        publish(store, name, {path: write("file", b"x") for path in files}, run_id=run_id)
    assert sentence in str(error.value)
    assert list(store.list("")) == []


def test_a_record_at_the_wrong_place_is_refused(store):
    record = Version("reviews", 7, "sha256:" + "a" * 64, "run", "2026-01-01T00:00:00Z", 1)
    store.create(version_key("reviews", 8), to_bytes(record))
    with pytest.raises(CorruptObject, match=r"00008.json' in .* is the record of reviews:7, which does not belong"):
        read_version(store, "reviews", 8)
    store.create(version_key("reviews", 9), to_bytes(replace(record, number=9, digest="md5:1")))
    with pytest.raises(CorruptObject, match="is not a version's record: digest is 'md5:1'"):
        read_version(store, "reviews", 9)


def test_a_record_damaged_on_the_way_is_read_again(faulty_uri, faults, publish_version):
    version = publish_version(open_store(faulty_uri), "run-1")
    fault = faults.inject("flip", "GET", "versions/")
    assert read_version(open_store(faulty_uri), "reviews", 1) == version
    assert fault.seen == 1


def test_a_store_that_cannot_be_written_is_a_registry_error(publish_version):
    with pytest.raises(RegistryError):
        publish_version(open_store("/proc/registry"), "run-1")


def test_blobs_lie_under_their_digest(store, publish_version):
    version = publish_version(store, "run-1")
    assert store.exists(blob_key(version.digest))
