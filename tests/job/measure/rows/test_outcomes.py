"""How each test row went, as a version keeps it."""

import gzip
import json

import numpy as np

from tunewright.job.measure.rows import outcomes as module
from tunewright.job.measure.rows.answers import LabelAnswers, NumberAnswers, TagAnswers, TextAnswers
from tunewright.job.measure.rows.outcomes import MeasuredRows, outcomes

KEYS = np.array([255, 16, 4096], dtype=np.uint64)
ZEROS = np.zeros(3, np.float32)


def labelled(truths, predicted):
    return LabelAnswers(np.array(truths, np.int32), np.array(predicted, np.int32), ZEROS, ZEROS, None)


def told(answers, labels=(), keys=KEYS, columns=None):
    """The first line, and the others."""
    data = outcomes(answers, MeasuredRows("accuracy", labels, keys, 1, columns or {}))
    head, *rows = [json.loads(line) for line in gzip.decompress(data).decode().splitlines()]
    return head, rows


def test_of_labels_each_row_has_its_truth_its_answers_and_whether_they_are_right():
    answers = {"int8": labelled([0, 1, 2], [0, 0, 1]), "fp32": labelled([0, 1, 2], [0, 1, 1])}
    head, rows = told(answers, ["bad", "good"], columns={"language": ["de", "en", "x" * 99]})
    assert head == {
        "format": 1,
        "metric": "accuracy",
        "score": "share that is right",
        "variants": ["int8", "fp32"],
        "columns": ["language"],
        "test_rows": 3,
        "in_training": 1,
    }
    assert rows == [
        {"row": "00000000000000ff", "true": "bad", "int8": ["bad", 1], "fp32": ["bad", 1], "of": ["de"]},
        {"row": "0000000000000010", "true": "good", "int8": ["bad", 0], "fp32": ["good", 1], "of": ["en"]},
        # A label that training never saw has no name in the version.
        {"row": "0000000000001000", "true": None, "int8": ["good", 0], "fp32": ["good", 0], "of": ["x" * 64]},
    ]


def test_of_several_labels_a_row_is_right_where_all_are():
    answers = {"fp32": labelled([[1, 0, 0], [1, 1, 0], [0, 0, 1]], [[1, 0, 0], [1, 0, 0], [0, 0, 0]])}
    _, rows = told(answers, ["a", "b"])
    assert [(row["true"], row["fp32"]) for row in rows] == [
        (["a"], [["a"], 1]),
        (["a", "b"], [["a"], 0]),
        ([None], [[], 0]),
    ]


def test_of_numbers_truth_and_answer_are_kept_since_their_figure_is_of_all_rows_together():
    head, rows = told({"fp32": NumberAnswers(np.float32([1, 2, 3]), np.float32([1.1, 2.2, 3.3]))})
    assert head["score"] is None
    assert [(row["true"], row["fp32"]) for row in rows] == [(1, [1.1, None]), (2, [2.2, None]), (3, [3.3, None])]


def test_of_texts_and_tags_no_text_is_kept_but_what_each_row_reached():
    texts = TextAnswers([["secret"], ["word"]], ["secret", "other"], np.float32([1, 0.33333]), "ROUGE-L", [0, 2])
    head, rows = told({"fp32": texts}, columns={"source": ["a", "b", "c"]})
    assert head["score"] == "ROUGE-L"
    assert rows == [
        {"row": "00000000000000ff", "fp32": [None, 1.0], "of": ["a"]},
        {"row": "0000000000001000", "fp32": [None, 0.3333], "of": ["c"]},
    ]
    tags = TagAnswers([["O", "B-x"], ["O"], ["O"]], [["O", "O"], ["O"], ["O"]])
    assert [row["fp32"] for row in told({"fp32": tags})[1]] == [[None, 0.5], [None, 1.0], [None, 1.0]]


def test_of_too_many_rows_the_same_ones_are_kept_in_whatever_order_they_come(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    answers = {"fp32": labelled([0, 1, 1], [0, 0, 1])}
    head, rows = told(answers, ["bad", "good"])
    assert [row["row"] for row in rows] == ["00000000000000ff", "0000000000000010"]
    assert head["test_rows"] == 3
    assert {row["row"] for row in told(answers, ["bad", "good"], keys=KEYS[::-1])[1]} == {row["row"] for row in rows}


def test_a_row_takes_less_than_thirty_bytes():
    random = np.random.default_rng(0)
    keys = random.integers(0, 2**64, 20_000, dtype=np.uint64)
    true = random.normal(size=20_000).astype(np.float32)
    answers = {name: NumberAnswers(true, true + random.normal(size=20_000).astype(np.float32)) for name in "ab"}
    test = MeasuredRows("spearman", [], keys, 0, {})
    assert len(outcomes(answers, test)) < 20_000 * 30


def test_equal_outcomes_are_equal_bytes():
    answers, test = {"fp32": labelled([0, 1, 1], [0, 0, 1])}, MeasuredRows("accuracy", ["a", "b"], KEYS, 0, {})
    assert outcomes(answers, test) == outcomes(answers, test)
