"""The labels of many rows read as the lists they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.job.data.label_lists import LabelLists

ROWS = st.lists(st.lists(st.sampled_from(["a", "b", "", "é"]), max_size=4), max_size=12)


@given(rows=ROWS)
def test_rows_are_the_lists_they_were(rows):
    found = LabelLists(iter(rows))
    assert len(found) == len(rows)
    assert list(found) == rows
    assert [found[row] for row in range(len(rows))] == rows
    assert found[1:5] == rows[1:5]
    assert found == rows
    counted = dict(zip(found.names, found.counts().tolist(), strict=True))
    assert counted == {name: sum(row.count(name) for row in rows) for name in found.names}


def test_more_rows_than_are_read_at_a_time_are_all_there():
    rows = [[str(row % 7), "all"] for row in range(9000)]
    assert list(LabelLists(rows)) == rows


def test_a_row_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        LabelLists([["a"]])[1]
    assert LabelLists([["a"], ["b"]])[-1] == ["b"]


def test_a_row_takes_a_few_bytes():
    found = LabelLists([["a label with a long name"]] * 10_000)
    assert found.numbers.nbytes + found.starts.nbytes < 121_000
