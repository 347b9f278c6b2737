import pytest

from tunewright.job.data.doctor.finding import Diagnosis, Example, Finding
from tunewright.job.errors import DataError
from tunewright.job.progress.events import recorded
from tunewright.job.steps.diagnose import hold_back, looked_for, tell
from tunewright.job.tasks import TASKS

NEAR = Finding(
    "near_overlap",
    "warning",
    "test",
    2,
    0.05,
    "2 of 40 test rows nearly repeat a row of train",
    "keep the two on one side",
    (Example("test", "test.csv", 7), Example("test", "test.csv", 9)),
)


def test_a_finding_beyond_its_bound_ends_the_job():
    with pytest.raises(DataError) as refused:
        hold_back(Diagnosis({}, [NEAR]), {"near_overlap": 0.01, "repeats": 0.0})
    assert str(refused.value) == (
        "data.gate.near_overlap is 0.01, but 2 of 40 test rows nearly repeat a row of train (5.00%); keep the two on "
        "one side"
    )
    assert refused.value.exit_code == 3


def test_a_finding_within_its_bound_ends_nothing():
    hold_back(Diagnosis({}, [NEAR]), {"near_overlap": 0.05})


def test_what_was_told_while_the_data_was_read_is_not_told_again():
    told = Finding("overlap", "serious", "test", 1, 0.1, "1 of 10 test rows also stand in train", "x", said=True)
    with recorded() as said:
        tell(Diagnosis({}, [told, NEAR]))
    (one,) = said
    assert one.text == (
        "2 of 40 test rows nearly repeat a row of train (test.csv:7, test.csv:9): keep the two on one side"
    )
    assert one.facts == {"finding": "near_overlap", "severity": "warning", "share": 0.05}


def test_a_task_is_looked_at_for_what_its_rows_have():
    texts = looked_for(TASKS["text-classification"], "label", "single_label")
    assert {"leaks", "contradictions", "label_noise", "personal", "near_overlap"} <= set(texts)
    several = looked_for(TASKS["text-classification"], "labels", "multi_label")
    assert "spellings" in several
    assert "label_noise" not in several
    files = looked_for(TASKS["image-classification"], "label", "single_label")
    assert files == ("repeats", "overlap", "contradictions", "spellings")
