"""fastText's lines as rows."""

import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout


@pytest.mark.parametrize(
    ("line", "text", "label", "labels"),
    [
        ("__label__good Fits well.", "Fits well.", "good", ["good"]),
        ("__label__good\tFits  well.\r", "Fits  well.", "good", ["good"]),
        ("__label__good __label__cheap Fits __well__", "Fits __well__", ["good", "cheap"], ["good", "cheap"]),
        ("Fits well. __label__good", "Fits well.", "good", ["good"]),
        ("__label__2,1 Fits", "Fits", "2,1", ["2,1"]),
        ("Fits a__label__b __label__ well", "Fits a__label__b __label__ well", None, []),
        ("__label__good", "", "good", ["good"]),
    ],
)
def test_a_line_is_a_text_and_its_labels(write, line, text, label, labels):
    path = write("a.txt", f"\n{line}\n  \n".encode())
    (row,) = read_rows(path, "a.txt", Layout("fasttext", wanted=("text", "label")))
    assert (row.line, row.values) == (2, {"text": text, "label": label, "labels": labels})
