"""What is kept of a run, and when it ends."""

import pytest
import torch

from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.course import Course
from tunewright.job.train.objective import Objective
from tunewright.job.train.state import Progress, Trained


@pytest.fixture
def follow():
    """follow([0.5, 0.7], 0.6, average=2): the course of such figures, the last of the mean, and what is kept."""

    def run(figures, of_mean=None, **settings):
        figures = iter([*figures, *([] if of_mean is None else [of_mean])])
        place = {"weight": torch.zeros(1), "counter": torch.tensor(0)}

        def weights():
            place["weight"] = place["weight"] + 1
            return dict(place)

        objective = Objective(torch.nn.functional.cross_entropy, dict, "accuracy")
        found = Trained("fp32", "cpu")
        measure = lambda: {"accuracy": (value := next(figures)), "train_accuracy": value / 2}  # noqa: E731
        progress = Progress(found)
        course = Course(objective, TrainSettings(**{"epochs": 4} | settings), progress, measure, weights)
        kept = []
        while not course.is_over:
            course.look({"epoch": progress.epoch, "loss": 1.0})
            progress.epoch += 1
        course.finish(kept.append)
        return found, kept

    return run


def test_figures_of_training_rows_stand_in_the_history_and_decide_nothing(follow, capsys):
    found, _ = follow([0.5, 0.7, 0.6, 0.5])
    assert found.history[1] == {"epoch": 2, "loss": 1.0, "accuracy": 0.7, "train_accuracy": 0.35}
    assert (found.best_epoch, found.figures) == (2, {"accuracy": 0.7})
    assert "epoch 2/4  loss 1.0000  accuracy 0.7000  train_accuracy 0.3500  (best so far)" in capsys.readouterr().out


def test_it_ends_after_so_many_measurements_without_a_better_one(follow, capsys):
    found, _ = follow([0.5, 0.4, 0.5], patience=2, evaluate=10)
    assert len(found.history) == 3
    assert "stopped early: no better accuracy in 2 measurements" in capsys.readouterr().out


@pytest.mark.parametrize(("of_mean", "weight"), [(0.7, 1.5), (0.8, 1.5), (0.6, 2.0)])
def test_the_mean_of_the_best_is_kept_where_it_is_no_worse(follow, of_mean, weight):
    found, kept = follow([0.6, 0.7, 0.5, 0.4], of_mean, average=2)
    assert kept[0]["weight"].tolist() == [1.5]
    assert kept[-1]["weight"].tolist() == [weight]
    assert kept[-1]["counter"].tolist() == 0
    assert found.figures == {"accuracy": max(of_mean, 0.7)}
