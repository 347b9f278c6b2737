import numpy as np

from tunewright.job.measure.rows.label_words import half_widths, label_words, rows_read

GOOD, BAD = "a good fine film number {}", "a bad poor film number {}"
TRAIN = [text.format(number % 9) for number in range(20) for text in (GOOD, BAD)]


def words(found):
    return [one.word for one in found]


def test_the_words_of_each_label_are_those_that_only_it_has():
    first, second = label_words(TRAIN, np.array([0, 1] * 20), 2)
    assert {"good", "fine"} <= set(words(first))
    assert {"bad", "poor"} <= set(words(second))
    assert not {"a", "film", "number"} & {*words(first), *words(second)}
    for one in (*first, *second):
        assert 0 < one.low < one.weight < one.high
        assert one.rows == 20
    assert [one.low for one in first] == sorted((one.low for one in first), reverse=True)


def test_of_several_labels_each_has_its_words_and_one_that_all_rows_have_none():
    targets = np.array([[1, 0, 1], [0, 1, 1]] * 20)
    first, second, third = label_words(TRAIN, targets, 3)
    assert "good" in words(first)
    assert "poor" in words(second)
    assert third == []


def test_texts_without_words_and_labels_without_rows_have_none():
    assert label_words(["...", "!"] * 10, np.array([0, 1] * 10), 2) == [[], []]
    assert label_words(TRAIN, np.array([0, 2] * 20), 3)[1] == []


def test_intervals_hold_what_they_say():
    # Means of 100 numbers, whose true value is 0: of 4,000 such intervals 95 of 100 hold it.
    numbers = np.random.default_rng(0).normal(size=(10, 10, 4000))
    whole = numbers.mean(axis=(0, 1))
    parts = np.stack([np.delete(numbers, group, axis=0).mean(axis=(0, 1)) for group in range(10)])
    assert 0.93 < np.mean(np.abs(whole) <= half_widths(parts)) < 0.97


def test_the_more_labels_the_fewer_rows_are_read():
    assert [rows_read(labels) for labels in (2, 77)] == [50_000, 1298]
