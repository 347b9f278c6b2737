import json
import math

import numpy as np
import pytest

from tunewright.job.measure.labels import answered
from tunewright.job.measure.rows.answers import (
    LabelAnswers,
    NumberAnswers,
    TagAnswers,
    TextAnswers,
    from_json,
    label_answers,
    to_json,
)


def logits_of(*shares):
    return np.log(np.array(shares, dtype=np.float32))


def test_of_one_label_the_best_score_and_what_was_lost_of_the_true_one():
    logits, targets = logits_of([0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2]), np.array([0, 1, 3])
    found = label_answers(logits, targets, answered(logits, targets, "single_label"), "single_label")
    assert found.predicted.tolist() == [0, 2, 0]
    assert found.right.tolist() == [True, False, False]
    assert found.sure == pytest.approx([0.5, 0.8, 0.6])
    # A label that training never saw, number 3, has no score at all.
    assert found.losses == pytest.approx([-math.log(0.5), -math.log(0.1), 87.0], rel=1e-5)
    assert found.scores[1] == pytest.approx([0.1, 0.1, 0.8])


def test_of_several_labels_the_least_sure_decision_and_the_mean_loss():
    logits, targets = np.array([[0.0, math.log(9)]], dtype=np.float32), np.array([[0, 1]], dtype=np.float32)
    found = label_answers(logits, targets, answered(logits, targets, "multi_label"), "multi_label")
    assert found.predicted.tolist() == [[1, 1]]
    assert found.right.tolist() == [False]
    assert found.sure == pytest.approx([0.5])
    assert found.losses == pytest.approx([(math.log(2) - math.log(0.9)) / 2])


@pytest.mark.parametrize(
    "answers",
    [
        LabelAnswers(
            np.array([0, 1], np.int32), np.array([1, 1], np.int32), np.float32([0.5, 1]), np.float32([2, 0]), None
        ),
        NumberAnswers(np.float32([1, 2]), np.float32([1.5, 2.5])),
        TagAnswers([["O", "B-x"]], [["O", "O"]]),
        TextAnswers([["a", "b"]], ["c"], np.float32([0.25]), "F1", [3]),
    ],
)
def test_answers_come_back_from_json_as_they_were(answers):
    again = from_json(json.loads(json.dumps(to_json(answers))))
    assert type(again) is type(answers)
    assert to_json(again) == to_json(answers)


def test_no_answers_stay_none_and_what_is_none_is_refused():
    assert from_json(json.loads(json.dumps(to_json(None)))) is None
    with pytest.raises(KeyError):
        from_json({"kind": "Other"})
