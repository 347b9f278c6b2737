"""Pulling: only what was asked for, every byte checked, one cache for all."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunewright.registry.errors import AccessDenied, Conflict, CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.pull import pull, pull_into, read_manifest


@pytest.fixture
def one(store, publish_version):
    """A store with `reviews:1`."""
    publish_version(store, "run-1")
    return store


def paths(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def no_int8(path):
    return not path.startswith("onnx/int8/")


def test_a_pulled_version_holds_the_published_files(one, tmp_path, bundle):
    pulled = pull(one, "reviews:1", cache=tmp_path / "cache")
    assert paths(pulled.folder) == sorted(bundle)
    assert all((pulled.folder / path).read_bytes() == file.read_bytes() for path, file in bundle.items())
    assert (pulled.version.number, pulled.manifest.config) == (1, {"task": "text-classification"})
    assert pulled.folder == tmp_path / "cache/versions" / pulled.version.digest.removeprefix("sha256:")


def test_pulled_files_are_real_files(one, tmp_path):
    pulled = pull(one, "reviews", cache=tmp_path / "cache")
    assert not any((pulled.folder / path).is_symlink() for path in paths(pulled.folder))


def test_only_the_files_asked_for_are_fetched_and_more_can_follow(one, tmp_path, bundle):
    pulled = pull(one, "reviews", cache=tmp_path / "cache", only=no_int8)
    assert paths(pulled.folder) == sorted(filter(no_int8, bundle))
    assert len(list((tmp_path / "cache/blobs/sha256").iterdir())) == 4
    assert paths(pull(one, "reviews", cache=tmp_path / "cache").folder) == sorted(bundle)


def test_what_is_in_the_cache_is_not_fetched_again(one, publish_version, tmp_path):
    told = []
    pull(one, "reviews", cache=tmp_path / "cache", on_bytes=told.append)
    assert sum(told) == read_manifest(one, publish_version(one, "run-1")).size
    publish_version(one, "run-2")
    told.clear()
    pull(one, "reviews:2", cache=tmp_path / "cache", on_bytes=told.append)
    assert told == []


@pytest.mark.parametrize("damage", [b"other", b"fp32 weightS" * 1000], ids=["another size", "the same size"])
def test_a_file_changed_in_the_cache_is_fetched_again(one, tmp_path, bundle, damage):
    folder = pull(one, "reviews", cache=tmp_path / "cache").folder
    (folder / "onnx/fp32/model.onnx").write_bytes(damage)  # a hard link: the blob is damaged as well
    pull(one, "reviews", cache=tmp_path / "cache")
    assert (folder / "onnx/fp32/model.onnx").read_bytes() == bundle["onnx/fp32/model.onnx"].read_bytes()


def test_a_file_replaced_or_removed_in_the_folder_is_put_back(one, tmp_path, bundle):
    folder = pull(one, "reviews", cache=tmp_path / "cache").folder
    (folder / "model.json").unlink()
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_bytes(b"{}")
    pull(one, "reviews", cache=tmp_path / "cache")
    for path in ("model.json", "tokenizer.json"):
        assert (folder / path).read_bytes() == bundle[path].read_bytes()


def test_a_file_system_without_hard_links_gets_copies(one, tmp_path, bundle, monkeypatch):
    def refuse(*_):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder = pull(one, "reviews", cache=tmp_path / "cache").folder
    (folder / "model.json").write_bytes(b"changed")
    assert paths(pull(one, "reviews", cache=tmp_path / "cache").folder) == sorted(bundle)
    assert (folder / "model.json").read_bytes() == bundle["model.json"].read_bytes()


def test_a_blob_with_other_bytes_is_refused_and_nothing_appears(one, tmp_path, bundle, write):
    manifest = pull(one, "reviews", cache=tmp_path / "first").manifest
    layer = next(layer for layer in manifest.layers if layer.path == "model.json")
    one.upload(blob_key(layer.digest), write("evil", b"x" * layer.size))
    with pytest.raises(CorruptObject, match=r"blobs/sha256/\w+' in .* is damaged: read 3 times"):
        pull(one, "reviews", cache=tmp_path / "second")
    folder = tmp_path / "second/versions" / read_digest(one)
    assert not (folder / "model.json").exists()


def read_digest(store):
    from tunewright.registry.versions.reference import resolve

    return resolve(store, "reviews").digest.removeprefix("sha256:")


def test_two_valid_blobs_that_were_swapped_are_refused(one, tmp_path, write):
    fp32, int8 = (
        blob_key(layer.digest)
        for layer in pull(one, "reviews", cache=tmp_path / "first").manifest.layers
        if layer.path.endswith(".onnx")
    )
    one_bytes, other_bytes = one.read(fp32), one.read(int8)
    one.upload(fp32, write("a", other_bytes))
    one.upload(int8, write("b", one_bytes))
    with pytest.raises(CorruptObject, match=r"bytes, not the [0-9]+ declared; none was fetched"):
        pull(one, "reviews", cache=tmp_path / "second")


def test_another_manifest_under_the_digest_is_refused_before_it_is_parsed(one, tmp_path, write):
    one.upload(f"blobs/sha256/{read_digest(one)}", write("evil", b"[" * 100_000))
    with pytest.raises(CorruptObject, match=r"the manifest of reviews:1 .* does not have the digest in its name"):
        pull(one, "reviews", cache=tmp_path / "cache")


def test_bits_that_flip_on_the_way_do_no_harm(faulty_uri, faults, publish_version, tmp_path, bundle):
    publish_version(open_store(faulty_uri), "run-1")
    fault = faults.inject("flip", "GET", "blobs/", times=2)
    folder = pull(open_store(faulty_uri), "reviews:1", cache=tmp_path / "cache").folder
    assert fault.seen == 2
    assert all((folder / path).read_bytes() == file.read_bytes() for path, file in bundle.items())


def test_threads_share_a_cache(one, tmp_path, bundle):
    with ThreadPoolExecutor(6) as pool:
        folders = set(pool.map(lambda _: pull(one, "reviews", cache=tmp_path / "cache").folder, range(6)))
    (folder,) = folders
    assert paths(folder) == sorted(bundle)


def test_processes_share_a_cache(tmp_path, publish_version, bundle):
    publish_version(open_store(str(tmp_path / "registry")), "run-1")
    program = (
        "import sys; from pathlib import Path; from tunewright.registry.versions.pull import pull; "
        "from tunewright.registry.stores.store import open_store\n"
        "print(pull(open_store(sys.argv[1]), 'reviews', cache=Path(sys.argv[2])).folder)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "registry"), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    folders = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert paths(Path(folders.pop())) == sorted(bundle)
    assert folders == set()


def test_two_paths_with_the_same_bytes_are_both_there(store, write, tmp_path):
    from tunewright.registry.versions.publish import publish

    file = write("file", b"the same")
    publish(store, "reviews", {"a.json": file, "b.json": file}, run_id="run-1")
    assert paths(pull(store, "reviews", cache=tmp_path / "cache").folder) == ["a.json", "b.json"]


def test_a_missing_version_makes_no_cache(store, tmp_path):
    with pytest.raises(NotFound):
        pull(store, "reviews", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said(one, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(AccessDenied, match=r"cannot be written \(Permission denied\); choose another folder"):
        pull(one, "reviews", cache=tmp_path / "cache")


def test_a_folder_of_ones_own_gets_independent_files(one, tmp_path, bundle):
    pulled = pull_into(one, "reviews", tmp_path / "mine", only=no_int8)
    assert paths(pulled.folder) == sorted(filter(no_int8, bundle))
    assert all((pulled.folder / path).stat().st_nlink == 1 for path in paths(pulled.folder))
    pull_into(one, "reviews", tmp_path / "mine")
    assert paths(pulled.folder) == sorted(bundle)


def test_files_of_others_are_not_overwritten(one, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.json").write_bytes(b"mine")
    with pytest.raises(Conflict, match=r"mine/model.json already exists and is another file; choose an empty folder"):
        pull_into(one, "reviews", tmp_path / "mine")
    assert (tmp_path / "mine/model.json").read_bytes() == b"mine"


def test_the_cache_follows_the_umask(one, tmp_path):
    folder = pull(one, "reviews", cache=tmp_path / "cache").folder
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "model.json").stat().st_mode & 0o777 == 0o666 & ~umask
