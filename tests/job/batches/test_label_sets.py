"""Several labels a row behave as the zeros and ones they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.job.batches.label_sets import LabelSets

WIDTH = 7


def held(rows):
    starts = np.cumsum([0, *map(len, rows)])
    return LabelSets(starts, np.array([one for row in rows for one in row], dtype=np.int32), WIDTH)


def dense(rows):
    return np.array([[float(label in row) for label in range(WIDTH)] for row in rows], dtype=np.float32)


@given(rows=st.lists(st.sets(st.integers(0, WIDTH - 1)), min_size=1, max_size=20), data=st.data())
def test_rows_are_those_of_an_array_of_zeros_and_ones(rows, data):
    sets, expected = held(rows), dense(rows)
    drawn = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    assert sets.shape == expected.shape
    assert sets[:].dtype == expected.dtype
    assert sets[drawn].tolist() == expected[drawn].tolist()
    assert sets.take(np.array(drawn, dtype=np.int64))[:].tolist() == expected[drawn].tolist()
    assert sets[2:5].tolist() == expected[2:5].tolist()
    assert sets.sum(axis=0).tolist() == expected.sum(axis=0).tolist()
    assert np.asarray(sets).tolist() == expected.tolist()


def test_only_labels_that_are_there_cost_memory():
    sets = held([[0, 3]] * 10_000)
    assert LabelSets(sets.starts, sets.numbers, 1_000_000).take(np.arange(5000)).numbers.nbytes == 40_000


def test_other_sums_are_refused():
    with pytest.raises(ValueError, match="axis is 1"):
        held([[0]]).sum(axis=1)
