"""Training rows of a bundle: found by their vectors, read where they lie, refused where they are none."""

import numpy as np
import pytest

from tunewright.serving.bundle.neighbours import FOLDER, ROWS, VECTORS, open_neighbours
from tunewright.serving.errors import BundleError


@pytest.fixture
def folder(tmp_path):
    """A bundle of four rows in two dimensions."""
    (tmp_path / FOLDER).mkdir()
    np.save(tmp_path / VECTORS, np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float16))
    (tmp_path / ROWS).write_text("".join(f'{{"row": {row}, "text": "höher {row}"}}\n' for row in (7, 3, 11, 20)))
    return tmp_path


def test_rows_are_told_by_their_cosines(folder):
    kept = open_neighbours(folder)
    found = kept.nearest(np.array([0.0, 5.0]), 3)
    assert [row["row"] for row in found] == [3, 11, 7]
    assert [row["similarity"] for row in found] == pytest.approx([1, 0.8, 0], abs=1e-3)
    assert found[1]["text"] == "höher 11"
    assert len(kept.nearest(np.array([1.0, 0.0]), 9)) == 4


def test_nothing_is_read_into_memory_before_it_is_asked_for(folder):
    kept = open_neighbours(folder)
    assert isinstance(kept.vectors_ND, np.memmap)
    assert isinstance(kept.lines, np.memmap)


def test_a_bundle_without_rows_has_none(tmp_path):
    assert open_neighbours(tmp_path) is None


@pytest.mark.parametrize(
    ("vectors", "lines", "sentence"),
    [
        (np.zeros((4, 2), dtype=np.float32), 4, "has 4 lines, neighbours/vectors.npy numbers of the type float32"),
        (np.zeros((4, 2), dtype=np.float16), 3, "has 3 lines, neighbours/vectors.npy numbers of the type float16"),
        (np.zeros(4, dtype=np.float16), 4, "and the shape (4,); expected float16 [N, D] for N lines, at most 100,000"),
        (np.array([{}], dtype=object), 4, "cannot be used: "),
    ],
)
def test_files_that_are_no_rows_are_refused(folder, vectors, lines, sentence):
    np.save(folder / VECTORS, vectors, allow_pickle=True)
    (folder / ROWS).write_text("{}\n" * lines)
    with pytest.raises(BundleError) as caught:
        open_neighbours(folder)
    assert str(caught.value).startswith(f"{folder / FOLDER} cannot be used: ")
    assert sentence in str(caught.value)


def test_rows_of_another_graph_are_refused(folder):
    with pytest.raises(BundleError) as caught:
        open_neighbours(folder).nearest(np.zeros(3), 1)
    assert str(caught.value) == "neighbours/vectors.npy holds vectors of 2 numbers; the graph gives 3"
