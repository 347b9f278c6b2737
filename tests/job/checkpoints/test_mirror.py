"""Files of a run in a bucket: all of them or none, and nothing of others is ever removed."""

import pytest

from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.checkpoints.sender import Sender
from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.store import open_store


@pytest.fixture
def mirror(s3_uri):
    return Mirror(open_store(s3_uri), "run")


def test_what_was_sent_comes_back(mirror, write, tmp_path):
    path = write("files/a/b.bin", b"bytes")
    mirror.send(path.parents[1], ["a/b.bin"])
    assert mirror.names() == ["a/b.bin"]
    assert mirror.within("a").names() == ["b.bin"]
    assert mirror.fetch("a/b.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"bytes"
    assert not mirror.fetch("a/c.bin", tmp_path / "back")
    with pytest.raises(CorruptObject):
        mirror.fetch("a/b.bin", tmp_path / "other", sha256="0" * 64)


def test_nothing_beside_the_run_is_removed(mirror, s3_uri, write):
    path = write("files/one", b"bytes")
    for prefix in ("run", "run-2", "run/deep"):
        Mirror(open_store(s3_uri), prefix).send(path.parent, ["one"])
    mirror.clear()
    assert [stat.key for stat in open_store(s3_uri).list("")] == ["run-2/one"]


def test_what_cannot_be_sent_is_told_and_ends_nothing(tmp_path, write, capsys):
    write("file", b"no folder")
    mirror = Mirror(open_store(str(tmp_path / "file")), "run")
    sender = Sender("a checkpoint")
    sender.submit(lambda: mirror.send(tmp_path, ["file"]))
    sender.wait()
    said = capsys.readouterr().out
    assert "a checkpoint was not sent: the folder " in said
    assert "cannot be made (File exists); expected a folder that can be written, or s3://bucket/prefix" in said
    assert said.count("\n") == 1


def test_a_mistake_in_what_is_sent_is_not_hidden():
    sender = Sender("a checkpoint")
    sender.submit(lambda: {}["missing"])
    with pytest.raises(KeyError):
        sender.wait()
