"""A step of which a number is not finite."""

import pytest

from tunewright.job.errors import TrainingFailed
from tunewright.job.train.faults.not_finite import CALMER, MOST_IN_A_ROW, Fault, leave_out
from tunewright.job.train.state import Progress, Trained

NAN = Fault("loss", float("nan"), list(range(10)))
SAID = "the loss of step 3 in epoch 1 is nan (training rows 0, 1, 2, 3, 4, 5, 6, 7, ..., counted from 0)"


@pytest.fixture
def progress():
    return Progress(Trained("fp32", "cpu"), step=2)


def test_it_ends_the_run_with_its_place_and_rows(progress):
    with pytest.raises(TrainingFailed) as caught:
        leave_out(NAN, progress, "stop")
    assert str(caught.value) == f"{SAID}; {CALMER}"


def test_it_is_counted_when_asked(progress, capsys):
    leave_out(NAN, progress, "skip")
    leave_out(NAN, progress, "skip")
    assert progress.trained.left_out == 2
    assert f"{SAID}: the step is left out, 2 so far" in capsys.readouterr().out


def test_where_one_follows_another_nothing_is_learned(progress):
    for _ in range(MOST_IN_A_ROW - 1):
        leave_out(NAN, progress, "skip")
    with pytest.raises(TrainingFailed) as caught:
        leave_out(NAN, progress, "skip")
    assert str(caught.value) == f"{SAID}, and so were the 9 steps before it; {CALMER}"
