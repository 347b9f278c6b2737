import numpy as np
import pytest

from tunewright.job.measure.rows.floor import linear_answers, rows_for

GOOD, BAD = "a good fine film number {}", "a bad poor film number {}"
TRAIN = [text.format(number) for number in range(20) for text in (GOOD, BAD)]


def test_words_tell_labels():
    logits = linear_answers(TRAIN, np.array([0, 1] * 20), ["poor bad", "good fine"], "single_label", 3)
    assert logits.shape == (2, 3)
    assert logits.argmax(axis=-1).tolist() == [1, 0]


def test_words_tell_several_labels_and_one_that_all_rows_have():
    targets = np.array([[1, 0, 1], [0, 1, 1]] * 20)
    logits = linear_answers(TRAIN, targets, ["poor bad", "good fine"], "multi_label", 3)
    assert (logits > 0).tolist() == [[False, True, True], [True, False, True]]


def test_words_tell_numbers():
    numbers = linear_answers(TRAIN, np.array([10.0, 20.0] * 20), ["poor bad", "good fine"], "regression", 1)
    assert numbers == pytest.approx([20, 10], abs=3)


def test_letters_tell_where_there_are_no_spaces():
    train = ["很好的电影", "很坏的东西"] * 10
    logits = linear_answers(train, np.array([0, 1] * 10), ["坏", "好"], "single_label", 2)
    assert logits.argmax(axis=-1).tolist() == [1, 0]


def test_rows_without_a_word_are_answered_all_the_same():
    assert linear_answers(["...", "!"], np.array([0, 1]), ["?"], "single_label", 2).tolist() == [[0, 0]]


def test_the_more_labels_the_fewer_rows():
    assert [rows_for(labels) for labels in (1, 2, 100, 200, 201)] == [20_000, 20_000, 10_000, 5000, 0]
