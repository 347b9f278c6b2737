"""The events of a job, as the figures that trackers get."""

import json

import pytest

from tunewright.job.errors import Interrupted
from tunewright.job.progress.events import bar, quiet, say
from tunewright.job.progress.tracking import POINTS, tracking


class Book:
    """A tracker that keeps a book."""

    def __init__(self):
        self.told, self.tagged, self.held, self.ended = [], {}, {}, ""

    def figures(self, values, step):
        self.told.append((step, dict(values)))

    def tags(self, tags):
        self.tagged |= tags

    def files(self, files):
        self.held |= files

    def end(self, status):
        self.ended = status


def epoch(number, steps, *, start=0, **figures):
    """As the loop says it."""
    with bar("train", steps) as advance:
        advance(start)
        for _ in range(start, steps):
            advance(1, epoch=number, loss=1.0)
    say("train", f"epoch {number}", epoch=number, loss=0.5, **figures)


def followed(job):
    book = Book()
    with tracking({"book": lambda: book}):
        job()
    return book


def test_each_figure_has_its_side_and_the_steps_before_it():
    book = followed(lambda: [epoch(1, 2, accuracy=0.7, train_accuracy=0.9), epoch(2, 2, accuracy=0.8)])
    assert book.told == [
        (1, {"train/loss": 1.0}),
        (2, {"train/loss": 0.5, "validation/accuracy": 0.7, "train/accuracy": 0.9}),
        (3, {"train/loss": 1.0}),
        (4, {"train/loss": 0.5, "validation/accuracy": 0.8}),
    ]
    assert book.ended == "finished"


def test_a_run_that_goes_on_in_the_middle_of_an_epoch_tells_the_same_steps():
    book = followed(lambda: epoch(3, 4, start=2, accuracy=0.7))
    assert [step for step, _ in book.told] == [11, 12]


def test_a_look_within_an_epoch_stands_at_its_step():
    def job():
        with bar("train", 10) as advance:
            advance(4, epoch=2)
            say("train", "epoch 2 step 4", epoch=2, step=4, loss=0.5)

    assert followed(job).told == [(14, {"train/loss": 0.5})]


def test_a_long_epoch_tells_some_of_its_losses():
    assert 50 < len(followed(lambda: epoch(1, 10_000)).told) <= POINTS


def test_a_second_training_has_figures_of_its_own():
    def job():
        epoch(1, 1, f1=0.5)
        say("train", "3 rows/s", rows_per_second=3.0, tokens_per_second=None)
        epoch(1, 1, f1=0.6)

    assert followed(job).told == [
        (1, {"train/loss": 0.5, "validation/f1": 0.5}),
        (1, {"train/rows_per_second": 3.0}),
        (1, {"train.2/loss": 0.5, "validation.2/f1": 0.6}),
    ]


def test_what_was_only_tried_is_told_to_nobody():
    def job():
        with quiet():
            epoch(1, 5)

    assert followed(job).told == []


def test_the_report_and_the_version_are_told(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")

    def job():
        epoch(1, 3)
        files = {"report/metrics.json": str(tmp_path / "metrics.json")}
        say("report", "written", headline="f1", variant="fp32", test={"fp32": {"f1": 0.5}}, files=files)
        # As a run removes what is in the registry.
        (tmp_path / "metrics.json").unlink()
        say("registry", "reviews@production is now reviews:3")
        say("registry", "registered", model="reviews", version=3, digest="sha256:1")

    book = followed(job)
    assert book.told[-1] == (3, {"test/fp32/f1": 0.5})
    assert book.held == {"report/metrics.json": b"{}"}
    assert book.tagged == {
        "headline": "f1",
        "variant": "fp32",
        "model": "reviews",
        "version": "3",
        "digest": "sha256:1",
    }


@pytest.mark.parametrize(("error", "status"), [(ValueError, "failed"), (Interrupted, "stopped")])
def test_a_tracker_is_told_how_a_run_ended(error, status):
    book = Book()
    with pytest.raises(error), tracking({"book": lambda: book}):
        raise error
    assert book.ended == status


def test_a_tracker_that_fails_is_warned_of_once_and_the_job_goes_on(capsys):
    class Full(Book):
        def figures(self, values, step):
            raise OSError("No space left on device")

    full, book = Full(), Book()
    with tracking({"full": lambda: full, "book": lambda: book}):
        epoch(1, 4)
        epoch(2, 4)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (warned,) = [one for one in said if one["level"] == "warning"]
    assert warned["message"] == "full is told nothing more of this run: OSError: No space left on device"
    assert (warned["event"], warned["tracker"]) == ("track", "full")
    assert (len(book.told), full.ended) == (8, "")
