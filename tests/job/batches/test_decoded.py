import threading

import numpy as np
import pytest

from tunewright.job.batches.decoded import Decoded


@pytest.fixture
def decoded():
    """decoded(room): rows of 800 bytes, and the list of those that were decoded."""

    def made(room):
        asked = []

        def decode(row):
            asked.append((row, threading.current_thread().name))
            return np.full(100, row, dtype=np.float64)

        return Decoded(10, decode, room), asked

    return made


def test_each_row_is_decoded_once_by_several_threads(decoded):
    rows, asked = decoded(100_000)
    assert [int(one[0]) for one in rows.of([3, 1, 3, 2])] == [3, 1, 3, 2]
    assert [int(one[0]) for one in rows.of([2, 4, 3])] == [2, 4, 3]
    assert sorted(row for row, _ in asked) == [1, 2, 3, 4]
    assert any(thread.startswith("decode") for _, thread in asked)


def test_no_more_is_kept_than_there_is_room_for(decoded):
    rows, asked = decoded(2000)
    assert rows.to_come == 0
    rows.of([0])
    assert rows.to_come == 1200
    for _ in range(2):
        assert [int(one[0]) for one in rows.of(range(10))] == list(range(10))
    assert [row for row, _ in sorted(asked)].count(0) == [row for row, _ in asked].count(1) == 1
    assert len(asked) == 2 + 2 * 8


def test_what_a_row_is_made_of_counts(decoded):
    rows = Decoded(2, lambda row: ({"pixels": np.zeros(100)}, [1, 2], "text"))
    rows.of([0, 1])
    assert 1600 < rows._bytes < 2600


def test_a_file_that_cannot_be_decoded_says_so():
    def broken(row):
        raise ValueError(f"row {row}")

    with pytest.raises(ValueError, match="row 1"):
        Decoded(3, broken).of([1, 2])
