"""The record of a run: what the last try told, and what an earlier one had told before."""

from tunewright.job.progress.record import Record, RunRecord
from tunewright.job.progress.tracker import Run

RUN = Run("r1", "reviews", {"train.epochs": "3"})


def read(path):
    return RunRecord.model_validate_json(path.read_bytes())


def test_a_run_that_came_to_nothing_leaves_no_record(tmp_path):
    Record(RUN, tmp_path / ".runs/r1.json").end("failed")
    assert list(tmp_path.iterdir()) == []


def test_each_measurement_is_kept_at_once(tmp_path):
    path, sent = tmp_path / ".runs/r1.json", []
    record = Record(RUN, path, sent.append)
    record.figures({"train/loss": 2.0}, 1)
    record.figures({"train/loss": 1.0, "validation/f1": 0.5}, 2)
    found = read(path)
    assert (found.status, found.losses, found.figures["validation/f1"]) == ("unfinished", [(1, 2.0), (2, 1.0)], 0.5)
    record.tags({"version": "7"})
    record.end("finished")
    assert (read(path).status, read(path).tags, sent) == ("finished", {"version": "7"}, [path, path])
    assert [one.name for one in path.parent.iterdir()] == ["r1.json"]


def test_a_run_that_goes_on_has_one_curve(tmp_path):
    path = tmp_path / "r1.json"
    first = Record(RUN, path)
    for step, loss in ((1, 4.0), (2, 3.0), (3, 2.0)):
        first.figures({"train/loss": loss}, step)
    first.end("stopped")
    begun = read(path).started
    second = Record(RUN, path)
    second.figures({"train/loss": 1.0}, 2)
    second.end("finished")
    assert (read(path).losses, read(path).status, read(path).started) == ([(1, 4.0), (2, 1.0)], "finished", begun)


def test_a_record_that_is_none_begins_anew(tmp_path):
    path = tmp_path / "r1.json"
    path.write_text("{")
    record = Record(RUN, path)
    record.figures({"test/fp32/f1": 0.5}, 0)
    record.end("finished")
    assert read(path).figures == {"test/fp32/f1": 0.5}
