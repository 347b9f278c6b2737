"""What a column holds."""

import pytest

from tunewright.job.commands.guess.profile import columns_of

PROSE = [f"this is the sentence number {number}, and no other" for number in range(40)]


def kind(values):
    (column,) = columns_of({"it": value} for value in values)
    return column.kind


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (PROSE, "text"),
        (["好吃，很快。" + str(number) for number in range(40)], "text"),
        (["spam", "ham", "ham"] * 9, "label"),
        (["1", "0", "1"] * 9, "label"),
        ([1, 0, 1] * 9, "label"),
        ([True, False] * 9, "label"),
        (["3.5", "1.25", "0", "5.0"], "number"),
        ([0.5, 0.25, 1.0], "number"),
        (list(range(40)), "id"),
        ([f"row_{number}" for number in range(40)], "id"),
        (["to title"] * 9, "constant"),
        (["a", "b", "a,b", "b"] * 9, "labels"),
        (["a;b", "a", "b"] * 9, "labels"),
        ([["joy"], ["joy", "fear"], []] * 9, "labels"),
        ([["A whole sentence stands here.", f"Another one is number {n}."] for n in range(9)], "texts"),
        ([[0, 1, 0], [1, 0, 0]] * 9, "bits"),
        ([[{"from": "human", "value": "hello"}]] * 3, "object"),
        (["2024-01-02", "2024-01-03"] * 9, "date"),
        ([[{"role": "user", "content": "hello"}]] * 3, "messages"),
        ([{"a": 1}], "object"),
        ([{"bytes": b"x", "path": None}] * 3, "file"),
        ([b"x", b"y"], "file"),
        (["a/1.png", "b/2.JPG"], "file"),
        ([None, "", "  ", float("nan")], "empty"),
    ],
)
def test_the_kind_of_a_column(values, expected):
    assert kind(values) == expected


def test_a_column_that_some_rows_lack_is_counted_as_empty_there():
    first, second = columns_of([{"a": "x"}, {"a": "y", "b": "z"}, {"b": "w"}])
    assert (first.empty, first.rows, second.empty, second.rows) == (1, 3, 1, 3)


def test_labels_are_divided_at_what_stands_between_them():
    (column,) = columns_of({"it": value} for value in ["a;b", "a", "b"] * 9)
    assert (column.separator, column.labels) == (";", {"a", "b"})


def test_the_commonest_labels_are_shown():
    (column,) = columns_of({"it": value} for value in ["ham", "spam", "ham"] * 1000)
    assert column.examples == "ham: 2,000, spam: 1,000"
    (column,) = columns_of({"it": value} for value in [["joy", "fear"], ["joy"]] * 5)
    assert column.examples == "joy: 10, fear: 5"
