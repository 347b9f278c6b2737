"""What does not fit the memory."""

import numpy as np
import pytest

from tunewright.job.batches.by_length import LengthGroupedBatches
from tunewright.job.errors import TrainingFailed
from tunewright.job.train.faults.memory import halve
from tunewright.job.train.state import Progress, Trained


@pytest.fixture
def progress():
    return Progress(Trained("fp32", "cuda"))


def test_parts_get_smaller_and_a_step_keeps_its_rows(progress, capsys):
    batches = LengthGroupedBatches(np.full(16, 10), 8, 1, room=1000)
    before = batches.steps()
    halve(batches, progress)
    assert (batches.room, progress.halvings) == (62, 4)
    assert [[row for part in step for row in part] for step in batches.steps()] == [step[0] for step in before]
    assert {len(part) for step in batches.steps() for part in step} == {6, 2}
    assert (
        "step 1 in epoch 1 does not fit the memory: from here on at most 62 tokens go through the model at a time, not "
        "80; a step still learns from all its rows"
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (10, "step 1 in epoch 1 does not fit the memory, not even a row of 10 tokens alone; lower train.max_length"),
        (None, "step 1 in epoch 1 does not fit the memory, and its rows cannot be divided; lower train.batch_size"),
    ],
)
def test_what_cannot_be_divided_ends_the_run(progress, room, said):
    with pytest.raises(TrainingFailed) as caught:
        halve(LengthGroupedBatches(np.full(16, 10), 8, 1, room=room), progress)
    assert str(caught.value) == said
