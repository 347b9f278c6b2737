"""Tries of a run are counted where its checkpoints lie, and end where they come no further."""

import json

import pytest

from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.errors import DataError, GateFailed, Interrupted, JobError
from tunewright.job.steps.run.tries import counted
from tunewright.registry.stores.store import open_store


@pytest.fixture(params=["a folder", "a bucket"])
def tried(request, tmp_path):
    """tried(error): a try of one run that ends so, with its number; in a bucket each has an empty disk."""
    bucket = request.param == "a bucket" and open_store(request.getfixturevalue("s3_uri"))
    disks = iter(range(100))

    def again(error, reach=None):
        folder = tmp_path / str(next(disks) if bucket else "disk") / "run"
        folder.mkdir(parents=True, exist_ok=True)
        mirror = Mirror(bucket, "run") if bucket else None
        numbers = []
        with pytest.raises(type(error)) as ended, counted(folder, mirror) as number:
            numbers.append(number)
            for name, facts in (reach or {}).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(json.dumps(facts))
            if mirror and reach:
                mirror.send(folder, reach)
            raise error
        return numbers[0] if ended.value is error else str(ended.value)

    return again


def checkpoint(number, step, epoch=2):
    folder = f"checkpoints/train/{number:06}"
    return {f"{folder}/state.json": {"epoch": epoch, "step": step, "loss": 0.5}, f"{folder}/manifest.json": {}}


def test_three_tries_that_come_no_further_are_the_last(tried):
    assert [tried(JobError("killed")) for _ in range(3)] == [1, 2, 3]
    said = tried(JobError("never raised"))
    assert said.startswith(
        "the run run was tried 3 times, and the last 3 tries came no further than the time before a first checkpoint: "
        "see what ended them (memory, ephemeral storage, the node; on Kubernetes `kubectl describe pod` tells), then "
        "give it another run_id to begin anew, or remove "
    )
    assert said.endswith("run/tries to go on")


def test_a_checkpoint_that_moves_on_is_progress_and_one_of_the_same_step_is_none(tried):
    assert tried(Interrupted(), checkpoint(1, 40)) == 1
    assert tried(Interrupted(), checkpoint(2, 41)) == 2
    assert [tried(Interrupted(), checkpoint(3 + again, 41)) for again in range(3)] == [3, 4, 5]
    assert "tried 5 times, and the last 3 tries came no further than train, epoch 2, step 41: " in tried(JobError())


def test_a_later_stage_is_progress(tried):
    assert [tried(Interrupted(), checkpoint(1, 40)) for _ in range(3)] == [1, 2, 3]
    assert tried(Interrupted(), {"stages/export.json": {}}) == 4
    assert [tried(JobError()) for _ in range(3)] == [5, 6, 7]
    assert "came no further than train, epoch 2, step 40; export, which is done: " in tried(JobError())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("a"), GateFailed("b")], ids=["130", "3", "4"])
def test_what_needs_a_person_begins_the_count_anew(tried, error):
    assert [tried(JobError()), tried(JobError()), tried(error)] == [1, 2, 3]
    assert tried(JobError()) == 1


def test_a_run_that_ends_well_leaves_nothing(tmp_path):
    (tmp_path / "run").mkdir()
    with counted(tmp_path / "run", None) as number:
        assert (number, [path.parent.name for path in tmp_path.rglob("*.json")]) == (1, ["tries"])
    assert list((tmp_path / "run").iterdir()) == []
