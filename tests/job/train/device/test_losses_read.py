import pytest
import torch

from tunewright.job.errors import TrainingFailed
from tunewright.job.train.device import losses_read
from tunewright.job.train.device.losses_read import LossReader
from tunewright.job.train.distributed import World
from tunewright.job.train.faults.not_finite import CALMER, Fault
from tunewright.job.train.state import Progress, Trained

NAN = float("nan")


@pytest.fixture
def progress():
    return Progress(Trained("fp32", "cpu"))


@pytest.fixture
def later(monkeypatch):
    """A reader that reads after three steps, as one of a GPU does."""
    monkeypatch.setitem(losses_read.STEPS_UNREAD, "cpu", 3)
    return LossReader("cpu", "stop", World())


def steps(reader, progress, losses, norm=1.0):
    for parts in losses:
        reader.begin(progress)
        for number, loss in enumerate(parts):
            assert reader.part(torch.tensor(loss), [number, 7]) is None
        assert reader.total() is None
        assert reader.gradient(torch.tensor(norm)) is None
        reader.end(2.0, 0.1, progress)
        progress.step += 1


def test_what_is_read_later_is_the_same_sum(later, progress, monkeypatch):
    losses = [[0.1, 0.7], [1.3], [0.123456789], [], [1e-8, 3.0]]
    steps(later, progress, losses)
    assert progress.weight == 6.0
    later.settle(progress)
    monkeypatch.undo()
    at_once = Progress(Trained("fp32", "cpu"))
    steps(LossReader("cpu", "stop", World()), at_once, losses)
    assert (progress.loss, progress.weight) == (at_once.loss, at_once.weight)


def test_the_first_loss_that_is_not_finite_is_named_with_its_rows(later, progress):
    steps(later, progress, [[0.1], [0.2, NAN]])
    with pytest.raises(TrainingFailed) as caught:
        steps(later, progress, [[float("inf")]])
    assert str(caught.value) == f"the loss of step 2 in epoch 1 is nan (training rows 1, 7, counted from 0); {CALMER}"


def test_a_gradient_that_is_not_finite_is_named_with_all_rows_of_its_step(later, progress):
    steps(later, progress, [[0.1, 0.2]], norm=NAN)
    with pytest.raises(TrainingFailed) as caught:
        later.settle(progress)
    shown = "training rows 0, 7, 1, 7, counted from 0"
    assert str(caught.value) == f"the gradient of step 1 in epoch 1 is nan ({shown}); {CALMER}"


@pytest.mark.parametrize(("device", "asked"), [("cpu", "stop"), ("cuda", "skip")])
def test_what_may_be_left_out_and_what_costs_nothing_is_read_at_once(progress, device, asked):
    reader = LossReader(device, asked, World())
    reader.begin(progress)
    assert reader.part(torch.tensor(NAN), [3])[:1] == ("loss",)
    assert reader.part(torch.tensor(1.0), [4]) is None
    assert reader.gradient(torch.tensor(float("inf"))) == Fault("gradient", float("inf"), [3, 4])


def test_a_step_that_was_broken_off_counts_nothing(later, progress):
    later.begin(progress)
    later.part(torch.tensor(5.0), [1])
    steps(later, progress, [[1.0]])
    later.settle(progress)
    assert (progress.loss, progress.weight) == (1.0, 2.0)
