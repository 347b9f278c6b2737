"""Who watches transfers is told of every byte of them once, and of nothing else."""

import pytest

from tunewright.registry.errors import CorruptObject
from tunewright.registry.progress import moved, transfer, watched
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.copying import copy
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull, pull_into, read_manifest
from tunewright.registry.versions.record import read_version


class Told:
    def __init__(self):
        self.transfers = []

    def begin(self, what, total, times):
        self.transfers.append([what, total * times, 0, "goes on"])

    def moved(self, size):
        self.transfers[-1][2] += size

    def end(self):
        self.transfers[-1][3] = "ended"


@pytest.fixture
def told():
    told = Told()
    with watched(told):
        yield told


def test_what_is_part_of_a_transfer_begins_none_and_other_bytes_do_not_count(told):
    with transfer("all", 10, "sent"):
        with transfer("a part", 5, "received"):
            moved("sent", 5)
        moved("received", 7)
    moved("sent", 5)
    assert told.transfers == [["all", 10, 5, "ended"]]


def test_a_transfer_ends_with_what_went_wrong(told):
    with pytest.raises(CorruptObject), transfer("all", 10, "sent"):
        raise CorruptObject("it is damaged")
    assert told.transfers == [["all", 10, 0, "ended"]]


@pytest.mark.parametrize("again", [False, True], ids=["new", "there already"])
def test_every_verb_tells_each_byte_once(store, tmp_path, bundle, told, again):
    there = open_store(str(tmp_path / "there"))
    if again:
        publish(store, "reviews", bundle, run_id="zero")
        pull(store, "reviews", cache=tmp_path / "cache")
        pull_into(store, "reviews", tmp_path / "to")
        copy(store, read_version(store, "reviews", 1), there, name="other")
        told.transfers.clear()
    version = publish(store, "reviews", bundle, run_id="one")
    pull(store, version, cache=tmp_path / "cache")
    pull_into(store, version, tmp_path / "to")
    verify(store, version)
    copy(store, version, there)
    size, config = version.size, read_manifest(store, version).config_size
    assert told.transfers == [
        ["reviews", size, size, "ended"],
        [str(version), size, size, "ended"],
        [str(tmp_path / "to"), size, size, "ended"],
        [str(version), size + config, size + config, "ended"],
        [str(version), 2 * (size + config), 2 * (size + config), "ended"],
    ]


def test_parts_of_a_large_file_count(s3_uri, write, told, tmp_path, monkeypatch):
    monkeypatch.setattr("tunewright.registry.stores.s3_upload.PART", 5 * 1024 * 1024)
    store, size = open_store(s3_uri), 11 * 1024 * 1024
    version = publish(store, "reviews", {"model.bin": write("model.bin", bytes(size))}, run_id="one")
    pull(store, version, cache=tmp_path / "cache")
    assert told.transfers == [["reviews", size, size, "ended"], ["reviews:1", size, size, "ended"]]


def test_a_download_that_is_thrown_away_is_taken_back(faulty_uri, write, told, tmp_path, faults):
    store, size = open_store(faulty_uri), 9 * 1024 * 1024
    version = publish(store, "reviews", {"model.bin": write("model.bin", bytes(size))}, run_id="one")
    told.transfers.clear()
    (layer,) = read_manifest(store, version).layers
    faults.inject("flip", "GET", blob_key(layer.digest))
    pull(store, version, cache=tmp_path / "cache")
    assert told.transfers == [["reviews:1", size, size, "ended"]]


def test_a_large_file_that_goes_to_a_folder_tells_how_far_it_is(write, told, tmp_path):
    size, seen = 4 * 1024 * 1024, []
    told.moved = seen.append
    file = write("model.bin", bytes(size))
    publish(open_store(str(tmp_path / "there")), "reviews", {"model.bin": file}, run_id="one")
    assert (sum(seen), len(seen)) == (size, 4)
