import numpy as np
import pytest

from tunewright.job.data.doctor.duplicates import contradicting, near, repeated


def test_rows_that_repeat_another_are_told_by_file_and_line(side):
    train = side([("one text", "a"), ("two text", "a"), ("One Text", "b"), ("three", "b")])
    (found,) = repeated([train])
    assert (found.kind, found.rows, found.share) == ("repeats", 1, 0.25)
    assert found.text == "1 of 4 train rows repeat the text of another row of it"
    assert [one.text for one in found.examples] == ["train.csv:4"]


def test_rows_on_two_sides_are_serious(side):
    train = side([("one text", "a"), ("two text", "b")])
    test = side([("a third", "a"), ("ONE text", "b")], "test")
    (found,) = repeated([train, test])
    assert (found.kind, found.severity, found.side, found.share) == ("overlap", "serious", "test", 0.5)
    assert found.text == "1 of 2 test rows also stand in train"
    assert [one.text for one in found.examples] == ["test.csv:3"]


def test_equal_texts_with_different_labels_contradict_each_other(side):
    rows = side([("one text", "a"), ("two", "a"), ("one text", "b"), ("two", "a")])
    (found,) = contradicting(rows, np.array([0, 0, 1, 0]))
    assert found.text == "2 of 4 train rows have the text of another row but not its label"
    assert [one.line for one in found.examples] == [2, 4]


def test_near_repetitions_are_found_within_a_side_and_on_two(side, texts):
    pytest.importorskip("rensa")
    plain = texts(60)
    train = side([(text, "a") for text in [*plain[:40], plain[3].upper() + "!!"]])
    test = side([(text, "a") for text in [*plain[40:], plain[7] + ", ok."]], "test")
    within, across = near([train, test])
    # Case alone makes an exact repetition, which is told elsewhere: the two marks make this one near.
    assert (within.kind, [one.line for one in within.examples]) == ("near_repeats", [42])
    assert within.text == "1 of 41 train rows nearly repeat another row of it"
    assert (across.kind, across.severity, [one.text for one in across.examples]) == (
        "near_overlap",
        "warning",
        ["test.csv:22"],
    )
    assert across.text == "1 of 21 test rows nearly repeat a row of train"


def test_texts_that_only_share_words_are_no_repetitions(side, texts):
    pytest.importorskip("rensa")
    assert list(near([side([(text, "a") for text in texts(300)])])) == []


def test_many_rows_of_one_template_take_no_square_of_comparisons(side):
    pytest.importorskip("rensa")
    template = "dear customer, your order number {} has been sent to the address you gave us"
    rows = [(template.format(at), "a") for at in range(900)]
    (found,) = near([side(rows)])
    assert found.kind == "near_repeats"
    assert found.rows > 800


def test_clean_rows_have_no_finding(side, texts):
    train, test = side([(text, "a") for text in texts(50)]), side([(text, "a") for text in texts(20, seed=1)], "test")
    assert list(repeated([train, test])) == []
    assert list(contradicting(train, np.zeros(50, dtype=np.int64))) == []
