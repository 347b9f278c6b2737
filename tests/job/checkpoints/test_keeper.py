"""The last checkpoints of a run are kept, and the newest good one is found."""

import shutil

import pytest
import torch

from tunewright.job.checkpoints.files import Identity, Snapshot
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.errors import SettingsError
from tunewright.job.settings.train import CheckpointSettings
from tunewright.registry.stores.store import open_store

RUN = Identity({"train.epochs": 3}, "rows")


@pytest.fixture
def opened(tmp_path):
    return lambda identity=RUN, **settings: Checkpoints(tmp_path / "kept", identity, CheckpointSettings(**settings))


@pytest.fixture
def three(opened, tmp_path):
    """A folder in which three checkpoints were written and the last two are kept."""
    with opened() as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(lambda step=step: Snapshot({"w": torch.ones(step)}, {"step": step}))
    return tmp_path / "kept"


def test_the_last_ones_are_kept(three, opened):
    assert sorted(path.name for path in three.iterdir()) == ["000002", "000003"]
    assert opened().newest().facts == {"step": 3}


def test_as_many_are_kept_as_asked(opened, tmp_path):
    with opened(keep=4) as checkpoints:
        for _ in range(6):
            checkpoints.save(lambda: Snapshot({}, {}))
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["000003", "000004", "000005", "000006"]


def test_a_run_without_any_begins(opened):
    assert opened().newest() is None
    assert not opened().has_any()


def test_what_was_not_written_to_its_end_is_none(three, opened):
    (three / "000003").rename(three / "000004.new")
    assert opened().newest().facts == {"step": 2}


def test_an_older_one_is_used_where_the_newest_is_damaged(three, opened, capsys):
    (three / "000003" / "state.json").unlink()
    assert opened().newest().facts == {"step": 2}
    said = capsys.readouterr().out
    assert f"checkpoint {three}/000003 is damaged: state.json is missing; an older one is used" in said
    with opened() as checkpoints:
        checkpoints.save(lambda: Snapshot({}, {"step": 4}))
    assert opened().newest().facts == {"step": 4}


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(three, opened):
    for name in ("000002", "000003"):
        (three / name / "state.json").write_text("{}")
    with pytest.raises(SettingsError) as caught:
        opened().newest()
    assert str(caught.value) == (
        f"checkpoint {three}/000003 is damaged: state.json is not the file that was written: its sha256 differs, and "
        f"no other one is left; give this run another run_id, or remove {three} to begin it again"
    )


def test_a_checkpoint_of_other_settings_is_refused(three, opened):
    with pytest.raises(SettingsError) as caught:
        opened(Identity({"train.epochs": 5}, "rows")).newest()
    assert str(caught.value) == (
        f"checkpoint {three}/000003 cannot be used: it is of other settings: train.epochs is 3 there and 5 here; give "
        f"this run another run_id, or remove {three} to begin it again"
    )


def test_it_is_due_by_steps_and_by_time(opened):
    with opened(steps=4) as checkpoints:
        assert [checkpoints.is_due(step) for step in range(1, 9)] == [False, False, False, True] * 2
    with opened(minutes=1e-9) as checkpoints:
        assert checkpoints.is_due(1)
    with opened() as checkpoints:
        assert not checkpoints.is_due(1)


def test_stages_have_folders_of_their_own(opened, tmp_path):
    with opened().of("adapt") as checkpoints:
        checkpoints.save(lambda: Snapshot({}, {"step": 1}))
    assert (tmp_path / "kept" / "adapt" / "000001").is_dir()
    assert opened().newest() is None
    assert opened().has_any()


def test_a_disk_that_takes_nothing_ends_no_run(opened, tmp_path, capsys):
    (tmp_path / "kept").write_text("a file where a folder should be")
    with opened() as checkpoints:
        checkpoints.save(lambda: Snapshot({}, {}))
    assert "no checkpoint was written" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "kept", ignore_errors=True)


def test_one_that_does_not_fit_is_told_with_what_is_free_and_the_last_stays(three, opened, capsys):
    # So many bytes without any: the same number again and again.
    huge = torch.zeros(1).expand(10**15)
    with opened() as checkpoints:
        checkpoints.save(lambda: Snapshot({"w": huge}, {}))
    said = capsys.readouterr().out
    assert f"no checkpoint was written: the disk that holds {three} is full; 4000.0 TB are needed and " in said
    assert sorted(path.name for path in three.iterdir()) == ["000002", "000003"]


@pytest.fixture
def mirrored(tmp_path):
    """mirrored("disk"): the checkpoints of a run on that disk, which go to one bucket, here a folder, too."""

    def opened(disk, **settings):
        mirror = Mirror(open_store(str(tmp_path / "bucket")), "run")
        return Checkpoints(tmp_path / disk, RUN, CheckpointSettings(**settings), mirror)

    return opened


@pytest.fixture
def sent(mirrored, tmp_path):
    """The folder of the bucket after three checkpoints."""
    for step in (1, 2, 3):
        with mirrored("one") as checkpoints:
            checkpoints.save(lambda step=step: Snapshot({"w": torch.ones(step)}, {"step": step}))
    return tmp_path / "bucket/run"


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_last_ones_are_kept_in_the_bucket_too(sent):
    files = ("manifest.json", "state.json", "tensors.safetensors")
    assert names(sent) == [f"{number}/{file}" for number in ("000002", "000003") for file in files]


def test_another_disk_goes_on_from_the_bucket(sent, mirrored, tmp_path, capsys):
    with mirrored("other") as checkpoints:
        assert checkpoints.has_any()
        snapshot = checkpoints.newest()
        assert (snapshot.facts, snapshot.tensors["w"].tolist()) == ({"step": 3}, [1, 1, 1])
        assert f"the run goes on from {sent}/000003" in capsys.readouterr().out
        checkpoints.save(lambda: Snapshot({}, {"step": 4}))
    with mirrored("third") as checkpoints:
        assert checkpoints.newest().facts == {"step": 4}


@pytest.mark.parametrize("file", ["manifest.json", "state.json", "tensors.safetensors"])
def test_one_that_is_not_whole_in_the_bucket_is_none(sent, mirrored, file):
    (sent / "000003" / file).unlink()
    with mirrored("other") as checkpoints:
        assert checkpoints.newest().facts == {"step": 2}
        checkpoints.save(lambda: Snapshot({}, {"step": 4}))
    with mirrored("third") as checkpoints:
        assert checkpoints.newest().facts == {"step": 4}
    assert all((sent / number / "manifest.json").is_file() for number in {name[:6] for name in names(sent)})


def test_a_flipped_bit_in_the_bucket_is_noticed(sent, mirrored, capsys):
    data = bytearray((sent / "000003/tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (sent / "000003/tensors.safetensors").write_bytes(data)
    with mirrored("other") as checkpoints:
        assert checkpoints.newest().facts == {"step": 2}
    assert "tensors.safetensors is not the file that was written" in capsys.readouterr().out


def test_a_bucket_that_is_away_ends_no_run(mirrored, tmp_path, capsys):
    (tmp_path / "bucket").write_text("a file where a folder should be")
    with mirrored("one") as checkpoints:
        checkpoints.save(lambda: Snapshot({}, {"step": 1}))
    assert "a checkpoint was not sent" in capsys.readouterr().out
    assert (tmp_path / "one/000001/manifest.json").is_file()
