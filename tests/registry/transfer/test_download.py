"""Downloads: whole or not at all, in parallel, resumed, and right."""

import errno
import hashlib
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tunewright.registry.errors import (
    AccessDenied,
    Conflict,
    CorruptObject,
    NoSpace,
    NotFound,
    RegistryError,
    Unreachable,
)
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer import download as transfer
from tunewright.registry.transfer.download import Downloaded, download, sha256_of

DATA = random.Random(1).randbytes(transfer.RANGE * 3 + 12_345)  # four ranges, the last a short one
SHA256 = hashlib.sha256(DATA).hexdigest()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def large(store, write):
    """A store with an object of four ranges at `blob`."""
    store.upload("blob", write("source", DATA))
    return store


@pytest.fixture
def faulty(faulty_uri, write):
    """The same on a server that can be made to fail."""
    store = open_store(faulty_uri)
    store.upload("blob", write("source", DATA))
    return store


def test_a_download_is_whole_and_hashed(large, tmp_path):
    told = []
    arrived = download(large, "blob", tmp_path / "a/b/target", sha256=SHA256, on_bytes=told.append)
    assert arrived == Downloaded(len(DATA), SHA256, large.stat("blob").etag)
    assert (tmp_path / "a/b/target").read_bytes() == DATA
    assert sum(told) == len(DATA)
    assert names(tmp_path / "a/b") == ["target"]


@pytest.mark.parametrize("size", [0, 1, transfer.RANGE, transfer.RANGE + 1])
def test_sizes_around_a_range_are_whole(store, write, tmp_path, size):
    store.upload("blob", write("source", DATA[:size]))
    download(store, "blob", tmp_path / "target", sha256=hashlib.sha256(DATA[:size]).hexdigest())
    assert (tmp_path / "target").read_bytes() == DATA[:size]


def test_a_missing_object_leaves_nothing(store, tmp_path):
    with pytest.raises(NotFound, match=r"there is no .*no/such"):
        download(store, "no/such", tmp_path / "folder" / "target")
    assert names(tmp_path / "folder") == []


def test_answers_that_break_off_do_no_harm(faulty, faults, tmp_path):
    cut, lost, failed = (faults.inject(kind, "GET", "blob", times=2) for kind in ("cut", "lose", "503 SlowDown"))
    download(faulty, "blob", tmp_path / "target", sha256=SHA256)
    assert (tmp_path / "target").read_bytes() == DATA
    assert cut.seen == lost.seen == failed.seen == 2


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["digest known", "digest unknown"])
def test_a_flipped_bit_is_noticed_and_fetched_again(faulty, faults, tmp_path, sha256):
    fault = faults.inject("flip", "GET", "blob")
    told = []
    assert download(faulty, "blob", tmp_path / "target", sha256=sha256, on_bytes=told.append).sha256 == SHA256
    assert (tmp_path / "target").read_bytes() == DATA
    assert fault.seen == 1
    assert sum(told) == len(DATA)


def test_an_object_with_other_bytes_than_its_digest_is_refused(large, tmp_path):
    (tmp_path / "target").write_bytes(b"what was there before")
    with pytest.raises(CorruptObject) as error:
        download(large, "blob", tmp_path / "target", sha256="0" * 64)
    assert str(error.value) == (
        f"'blob' in {large.uri} is damaged: read 3 times, its sha256 was {SHA256}, expected {'0' * 64}; "
        "restore it from a backup or write it again (`tunewright repair` does that for a file of a version)"
    )
    assert (tmp_path / "target").read_bytes() == b"what was there before"


def test_an_etag_that_only_looks_like_an_md5_is_no_obstacle(store, write, tmp_path, monkeypatch):
    store.upload("blob", write("source", b"data"))
    real, read_range = store.stat("blob"), store.read_range
    monkeypatch.setattr(store, "stat", lambda _: replace(real, etag="ab" * 16))
    monkeypatch.setattr(store, "read_range", lambda *range_, etag: read_range(*range_, etag=real.etag))
    for _ in range(2):
        assert download(store, "blob", tmp_path / "target").etag == "ab" * 16


def test_a_cut_off_download_goes_on_where_it_was(faulty, faults, tmp_path):
    faults.inject("404 NoSuchKey", "GET", "blob", times=1)
    with pytest.raises(NotFound):
        download(faulty, "blob", tmp_path / "target", sha256=SHA256)
    assert names(tmp_path) == ["source", "target.part", "target.part.json"]
    faults.requests.clear()
    download(faulty, "blob", tmp_path / "target", sha256=SHA256)
    assert len([1 for method, _ in faults.requests if method == "GET"]) == 1
    assert names(tmp_path) == ["source", "target"]


def cut_off(store, target, monkeypatch):
    """A download that ends before the last range."""
    read_range = store.read_range

    def fail(key, start, stop, *, etag):
        if stop == len(DATA):
            raise Unreachable("gone")
        return read_range(key, start, stop, etag=etag)

    with monkeypatch.context() as patch:
        patch.setattr(store, "read_range", fail)
        with pytest.raises(Unreachable):
            download(store, "blob", target)


def test_a_part_that_was_damaged_meanwhile_is_fetched_again(large, monkeypatch, tmp_path):
    cut_off(large, tmp_path / "target", monkeypatch)
    (tmp_path / "target.part").write_bytes(bytes(len(DATA)))
    assert download(large, "blob", tmp_path / "target").sha256 == SHA256


@pytest.mark.parametrize("journal", [b"", b"{", b"[]", b'{"object": 1}', b"\xff"])
def test_a_damaged_journal_counts_as_nothing(large, tmp_path, journal):
    (tmp_path / "target.part").write_bytes(DATA[:100])
    (tmp_path / "target.part.json").write_bytes(journal)
    assert download(large, "blob", tmp_path / "target").sha256 == SHA256


def test_a_part_of_another_object_is_started_again(large, monkeypatch, write, tmp_path):
    cut_off(large, tmp_path / "target", monkeypatch)
    newer = bytes(reversed(DATA))
    large.upload("blob", write("newer", newer))
    assert download(large, "blob", tmp_path / "target").sha256 == hashlib.sha256(newer).hexdigest()


def test_an_object_replaced_while_it_is_read_is_an_error(large, write, tmp_path, monkeypatch):
    newer, read_range = write("newer", DATA[::-1]), large.read_range

    def replaced_before_the_last(key, start, stop, *, etag):
        if stop == len(DATA):
            large.upload("blob", newer)
        return read_range(key, start, stop, etag=etag)

    with monkeypatch.context() as patch:
        patch.setattr(large, "read_range", replaced_before_the_last)
        with pytest.raises(Conflict, match=r"blob.* was replaced while it was read; start again"):
            download(large, "blob", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert download(large, "blob", tmp_path / "target").sha256 == hashlib.sha256(DATA[::-1]).hexdigest()


def test_what_does_not_fit_is_refused_before_it_is_fetched(large, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(NoSpace) as error:
        download(large, "blob", tmp_path / "target")
    assert str(error.value) == (
        f"the disk that holds {tmp_path} is full; 25.2 MB are needed and 1.0 kB are free; "
        "make room there or choose another folder"
    )


def test_a_disk_that_fills_up_is_left_clean(large, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoSpace, match=r"the disk that holds .* is full; 25.2 MB are needed and .* are free"):
        download(large, "blob", tmp_path / "folder" / "target")
    assert names(tmp_path / "folder") == []


def test_two_downloads_of_one_file_do_not_disturb_each_other(faulty, faults, tmp_path):
    threads = [
        threading.Thread(target=download, args=(faulty, "blob", tmp_path / "target"), kwargs={"sha256": SHA256})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sha256_of(tmp_path / "target") == SHA256
    assert len([1 for method, _ in faults.requests if method == "GET"]) == 4  # each range once
    assert names(tmp_path) == ["source", "target"]


def test_a_target_that_is_a_folder_is_said(large, tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(RegistryError, match="target cannot be written: it is a folder"):
        download(large, "blob", tmp_path / "target")


def test_a_folder_without_rights_is_said(large, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(AccessDenied, match=r"target cannot be written \(Permission denied\); choose another folder"):
        download(large, "blob", tmp_path / "target")


def test_many_threads_may_fetch_one_object_at_once(tmp_path):
    store = open_store(str(tmp_path / "store"))
    store.create("small", b"the same for all")
    digest = hashlib.sha256(b"the same for all").hexdigest()
    for number in range(40):
        target = tmp_path / "targets" / str(number)
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(download, store, "small", target, sha256=digest) for _ in range(8)]
        assert {job.result().sha256 for job in jobs} == {digest}
        assert [path.name for path in target.parent.iterdir() if path.name.startswith(f"{number}.")] == []
