"""Repair puts back what fails its digest, from files or another registry, and nothing else."""

import shutil

import pytest

from tunewright.registry.errors import BadReference
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.repair import open_source, repair
from tunewright.registry.upkeep.verify import CONFIG, verify
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.pull import pull_into, read_manifest


@pytest.fixture
def folder(tmp_path, publish_version):
    """The folder of a registry with reviews:1."""
    publish_version(open_store(str(tmp_path / "registry")), "run-1")
    return tmp_path / "registry"


@pytest.fixture
def damaged(folder, tmp_path):
    """The same after a whole copy of it and of its files was made: every blob has a wrong byte. Store and version."""
    store = open_store(str(folder))
    version = pull_into(store, "reviews:1", tmp_path / "files").version
    shutil.copytree(folder, tmp_path / "copy")
    for path in (folder / "blobs/sha256").iterdir():
        path.write_bytes(b"!" + path.read_bytes()[1:])
    return store, version


def written(path):
    """What a write changes; a folder that is only listed gets another time of access."""
    stat = path.stat()
    return stat.st_mode, stat.st_ino, stat.st_dev, stat.st_nlink, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def test_a_registry_mends_everything(damaged, tmp_path, bundle):
    store, version = damaged
    done = repair(store, version, open_source(str(tmp_path / "copy")))
    assert (sorted(done.mended), done.left) == (sorted([*bundle, CONFIG, "the manifest"]), ())
    assert verify(store, version).problems == ()
    before = {path: written(path) for path in (tmp_path / "registry").rglob("*")}
    assert repair(store, version, open_source(f"file://{tmp_path / 'copy'}")).mended == ()
    assert {path: written(path) for path in before} == before, "nothing else is written"


def test_files_mend_all_but_the_manifest(damaged, tmp_path, bundle):
    store, version = damaged
    files = open_source(str(tmp_path / "files"))
    (sentence,) = repair(store, version, files).left
    assert sentence == (
        f"the manifest of reviews:1 ({blob_key(version.digest)!r} in {store.uri}) does not have the digest in its "
        "name; only a registry that holds it whole can mend it"
    )
    shutil.copy(tmp_path / "copy" / blob_key(version.digest), tmp_path / "registry" / blob_key(version.digest))
    (tmp_path / "files/model.json").write_text("of another version")
    done = repair(store, version, files)
    assert sorted(done.mended) == sorted({*bundle, CONFIG} - {"model.json"})
    digest = read_manifest(store, version).layers[0].digest
    assert [sentence.partition(", its sha256")[0] for sentence in done.left] == [
        f"model.json: the blob {blob_key(digest)!r} is damaged"
    ]
    assert done.left[0].endswith(f", and {tmp_path / 'files/model.json'} does not hold it whole")


def test_a_source_that_is_damaged_too_mends_nothing(damaged, tmp_path):
    store, version = damaged
    for path in (tmp_path / "copy/blobs/sha256").iterdir():
        if path.name != version.digest.removeprefix("sha256:"):
            path.unlink()
    done = repair(store, version, open_source(str(tmp_path / "copy")))
    assert (done.mended, len(done.left)) == (("the manifest", CONFIG), 5)


def test_a_source_that_is_nothing_is_told(tmp_path):
    with pytest.raises(BadReference) as error:
        open_source(str(tmp_path / "none"))
    assert str(error.value) == (
        f"'{tmp_path / 'none'}' is no folder; expected one with the files of the version, or a registry"
    )
