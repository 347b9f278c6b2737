"""Rows in an Arrow file."""

import pyarrow as pa
import pytest

from tunewright.job.data.dataset import DatasetWriter, open_dataset

LABELS = pa.list_(pa.string())
TEXT = pa.large_string()


@pytest.fixture
def make(tmp_path):
    """make(rows) writes (input, target) rows and opens them."""

    def write(rows, kind=LABELS, inputs=TEXT):
        writer = DatasetWriter(tmp_path / "rows.arrow", (inputs, kind))
        for value, target in rows:
            writer.add(value, target)
        writer.close()
        return open_dataset(tmp_path / "rows.arrow")

    return write


def test_what_was_written_is_read(make):
    rows = [(f"text {number}", [f"label {number % 3}"]) for number in range(3000)]
    data = make(rows)
    assert len(data) == 3000
    assert list(zip(data.inputs(), data.targets(), strict=True)) == rows


def test_pairs_stay_pairs(make):
    data = make([(("a", "b"), 1.5), (("c", "d"), -2.0)], pa.float64(), pa.list_(TEXT))
    assert data.inputs() == [("a", "b"), ("c", "d")]
    assert data.targets() == [1.5, -2.0]


def test_a_selection_of_a_selection_keeps_its_order(make):
    data = make([(str(number), []) for number in range(100)]).select([50, 10, 30, 70]).select([3, 0])
    assert data.inputs() == ["70", "50"]
    assert [texts for texts, _ in data.batches(1)] == [["70"], ["50"]]


def test_batches_cover_every_row_once(make):
    data = make([(str(number), [str(number % 7)]) for number in range(2500)])
    batches = list(data.batches(1000))
    assert [len(texts) for texts, _ in batches] == [1000, 1000, 500]
    assert [text for texts, _ in batches for text in texts] == [str(number) for number in range(2500)]


def test_labels_take_a_few_bytes_a_row(make):
    targets = make([(str(number), ["a", "b"]) for number in range(5000)]).targets()
    assert targets.names == ["a", "b"]
    assert targets.starts.nbytes + targets.numbers.nbytes < 5000 * 17


def test_no_rows_are_a_data_set_too(make):
    assert len(make([])) == 0


def test_the_texts_stay_on_disk(make):
    before = pa.total_allocated_bytes()
    data = make([("word " * 2000, [])] * 6000)
    assert sum(chunk.nbytes for chunk in data.chunks) > 60_000_000
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_a_few_rows_of_many_need_the_memory_of_a_few(make):
    data = make([(f"{number} " + "word " * 2000, []) for number in range(6000)])
    before = pa.total_allocated_bytes()
    parts = list(data.select([5000, 3, 5999])._parts(["input"]))
    assert [text[:5] for part in parts for text in part["input"].to_pylist()] == ["5000 ", "3 wor", "5999 "]
    assert pa.total_allocated_bytes() - before < 1_000_000
