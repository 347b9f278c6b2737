"""How the rows of a version went, as it is read back, and two of them side by side."""

import gzip

import pytest

from tunewright.registry.errors import CorruptObject
from tunewright.registry.gates.outcomes import read_outcomes, shared


@pytest.fixture
def read(tmp_path, outcomes_of):
    """read(rows) reads what a job writes of rows, or these bytes."""

    def made(rows, **about):
        path = tmp_path / "outcomes.jsonl.gz"
        path.write_bytes(rows if isinstance(rows, bytes) else outcomes_of(rows, **about))
        return read_outcomes(path, "reviews:7")

    return made


def test_rows_are_read_as_they_were_written(read):
    found = read([(5, "good", "bad", 0, "de"), (6, ["a"], ["a", "b"], 0, "en")], columns=["language"])
    first, second = found.rows
    assert (first.key, first.true, first.answer, first.score, first.values) == (f"{5:016x}", "good", "bad", 0, ("de",))
    assert (second.true, second.answer) == (("a",), ("a", "b"))
    assert found.head.columns == ("language",)
    assert found.is_right_or_wrong
    numbers = read([(5, 1, 1.5, None)], score=None, metric="spearman")
    assert (numbers.rows[0].true, numbers.rows[0].answer) == (1.0, 1.5)
    assert not numbers.is_right_or_wrong


def test_rows_are_shared_by_their_inputs_in_whatever_order_and_once_for_each_time_they_stand_there(read):
    before = read([(1, "a", "a", 1), (2, "a", "b", 0), (2, "a", "a", 1), (3, "a", "a", 1), (4, "a", "b", 0)])
    after = read([(2, "a", "a", 1), (4, "b", "b", 1), (2, "a", "c", 0), (1, "a", "a", 1), (2, "a", "a", 1)])
    found = shared(before, after)
    assert [(one.number, one.before.answer, one.after.answer) for one in found.rows] == [
        (0, "b", "a"),
        (2, "a", "c"),
        (3, "a", "a"),
    ]
    # Of row 4 something else is true now.
    assert found.retold == 1
    assert [one.number for one in found.better] == [0]
    assert [one.number for one in found.worse] == [2]


def test_another_answer_that_is_worth_the_same_is_neither_better_nor_worse(read):
    found = shared(read([(1, "a", "b", 0), (2, None, "b", 0)]), read([(1, "a", "c", 0), (2, "x", "b", 0)]))
    assert [one.number for one in found.other] == [0]
    # A version has no name for a label that its training never saw: it is no other truth.
    assert found.retold == 0


def test_an_answer_that_is_a_number_is_better_nearer_to_the_truth(read):
    before, after = (read([(1, 2, answer, None), (2, 2, 2, None)], score=None) for answer in (3, 1.5))
    found = shared(before, after)
    assert [one.number for one in found.better] == [0]
    assert found.worse == found.other == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no gzip", "cannot be read: Not a gzipped file"),
        (gzip.compress(b"{\n", mtime=0), "cannot be read: Expecting property name"),
        (gzip.compress(b"[]\n", mtime=0), "has a line that is no JSON object"),
        (gzip.compress(b'{"format":2}\n', mtime=0), "does not tell outcomes: format is 2: input should be 1"),
        (gzip.compress(b" " * (2 << 20), mtime=0), "unpacks to more than it may: it is no such file"),
        (gzip.compress(b"[" * 100_000 + b"\n", mtime=0), "cannot be read: "),
        (gzip.compress(b"", mtime=0), "does not tell outcomes: format: field required"),
    ],
)
def test_what_is_no_such_file_is_told_with_its_version(read, data, said):
    with pytest.raises(CorruptObject) as caught:
        read(data)
    assert str(caught.value).startswith(f"report/outcomes.jsonl.gz of reviews:7 {said}")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "tells of no row"),
        ([(1, "a", "a", None)], "cannot be read: a row has no value of each column, or no score"),
        ([(1, "a", "a", 1, "de")], "cannot be read: a row has no value of each column, or no score"),
        ([(1, "a", {}, 1)], "does not tell outcomes: "),
    ],
)
def test_rows_that_lack_what_they_need_are_refused(read, rows, said):
    with pytest.raises(CorruptObject) as caught:
        read(rows)
    assert said in str(caught.value)


def test_numbers_must_be_there_where_no_score_is(read):
    with pytest.raises(CorruptObject, match="a row has no number"):
        read([(1, "a", 1.0, None)], score=None)
