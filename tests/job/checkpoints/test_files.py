"""A checkpoint is what was written, or it is refused with the name of what is wrong."""

import errno
import json
import random
import resource

import pytest
import torch

from tunewright.job.checkpoints import files
from tunewright.job.checkpoints.files import Damaged, Foreign, Identity, Snapshot, read, write

RUN = Identity({"train.epochs": 3, "task": "text-classification"}, "rows")


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "000001"
    write(Snapshot({"model/w": torch.arange(6.0).view(2, 3)}, {"step": 7, "loss": 0.1}), RUN, folder)
    return folder


def test_what_is_written_is_read(written):
    snapshot, differs = read(written, RUN)
    assert snapshot.tensors["model/w"].equal(torch.arange(6.0).view(2, 3))
    assert (snapshot.facts, differs) == ({"step": 7, "loss": 0.1}, "")
    assert sorted(path.name for path in written.iterdir()) == ["manifest.json", "state.json", "tensors.safetensors"]
    assert list(written.parent.iterdir()) == [written]


def test_what_is_refused_half_way_leaves_nothing(written, tmp_path):
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, allowed[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(Snapshot({"w": torch.zeros(10_000)}, {}), RUN, tmp_path / "000002")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == [written]


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
def test_a_file_that_is_missing_is_named(written, name):
    (written / name).unlink()
    with pytest.raises(Damaged, match=f"^{name} is missing$"):
        read(written, RUN)


def test_no_bit_of_any_file_flips_unseen(written):
    chance = random.Random(4)
    for path in sorted(written.iterdir()):
        whole = path.read_bytes()
        for place in [chance.randrange(8 * len(whole)) for _ in range(60)]:
            flipped = bytearray(whole)
            flipped[place // 8] ^= 1 << place % 8
            path.write_bytes(flipped)
            # White space of the manifest says nothing; whatever else is changed is found.
            if path.name != files.MANIFEST or _means(flipped) != _means(whole):
                with pytest.raises((Damaged, Foreign)):
                    read(written, RUN)
        path.write_bytes(whole)
    read(written, RUN)


def _means(text):
    try:
        return json.loads(bytes(text))
    except ValueError:
        return None


def test_a_file_that_is_cut_off_is_named(written):
    path = written / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=r"tensors\.safetensors is not the file that was written: its sha256 differs"):
        read(written, RUN)


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (Identity(RUN.settings | {"train.epochs": 5}, "rows"), "of other settings: train.epochs is 3 there and 5 here"),
        (Identity(RUN.settings, "others"), "it is of other data or another base model"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(written, identity, reason):
    with pytest.raises(Foreign, match=reason):
        read(written, identity)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(files, "FORMAT", 2)
        write(Snapshot({}, {}), RUN, tmp_path / "1")
    with pytest.raises(Foreign, match="it is of format 2, and this version of the job reads format 1"):
        read(tmp_path / "1", RUN)


def test_another_number_of_threads_is_said(written):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert read(written, RUN)[1] == f"threads {threads} there and {threads + 1} here"
    finally:
        torch.set_num_threads(threads)
