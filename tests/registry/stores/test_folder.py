"""What is particular to a folder: crashes, rights, and things that are not files."""

import errno
import os
from pathlib import Path

import pytest

from tunewright.registry.errors import AccessDenied, AddressError, Conflict, NoSpace, NotFound, UnsafeStore
from tunewright.registry.stores.store import open_store


def test_nothing_is_made_before_the_first_write(tmp_path):
    store = open_store(str(tmp_path / "registry"))
    assert not store.exists("key")
    assert list(store.list("")) == []
    with pytest.raises(NotFound, match=r"there is no 'key' in .*registry; that folder does not exist"):
        store.read("key")
    assert not (tmp_path / "registry").exists()


def test_a_create_that_failed_half_way_leaves_nothing(tmp_path, monkeypatch):
    store = open_store(str(tmp_path))

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(NoSpace, match=r"the disk that holds .* is full and .* are free; make room there"):
            store.create("a/key", b"data")
    assert not store.exists("a/key")
    assert list((tmp_path / "a").iterdir()) == []


def test_what_a_crash_left_is_not_listed(tmp_path):
    store = open_store(str(tmp_path))
    store.create("a/key", b"data")
    (tmp_path / "a" / ".tmp-0123").write_bytes(b"half")
    assert [stat.key for stat in store.list("a/")] == ["a/key"]


def test_a_file_system_without_hard_links_is_refused(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(UnsafeStore, match=r"has no hard links .* use a folder on another file system, or s3://"):
        open_store(str(tmp_path)).create("key", b"x")


def test_a_file_where_a_folder_is_needed_is_said(tmp_path):
    (tmp_path / "models").write_bytes(b"a file")
    with pytest.raises(AddressError, match="cannot be made: a file stands where a folder is needed"):
        open_store(str(tmp_path)).create("models/x", b"")


def test_rights_that_are_missing_are_said(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(AccessDenied, match=r"'a/key' in .* cannot be accessed \(Permission denied\); check the owner"):
        open_store(str(tmp_path)).create("a/key", b"")


def test_a_range_beyond_the_end_is_an_error(tmp_path):
    store = open_store(str(tmp_path))
    store.create("key", b"1234")
    with pytest.raises(Conflict, match="became shorter while it was read"):
        store.read_range("key", 2, 9, etag=store.stat("key").etag)
