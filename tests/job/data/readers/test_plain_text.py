"""Plain text as rows: lines, paragraphs or the whole."""

import gzip
import os
import re
from pathlib import Path

import pytest

from tunewright.job.data.readers.formats import format_of, read_rows, unit_of
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.errors import DataError

DATA = os.environ.get("TUNEWRIGHT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")

TEXT = '\n\n To be,\nor "not"\t \n \t \n\nthat\n'


def texts(path, **layout):
    return [(row.line, row.values["text"]) for row in read_rows(path, path.name, Layout("text", **layout))]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("unit", "rows"),
    [
        ("line", [(3, " To be,"), (4, 'or "not"\t '), (7, "that")]),
        ("paragraph", [(3, ' To be,\nor "not"\t '), (7, "that")]),
        ("document", [(3, ' To be,\nor "not"\t \n \t \n\nthat')]),
    ],
)
def test_a_row_is_a_line_a_paragraph_or_the_file(write, pack, end, unit, rows):
    path = write("a.txt", pack(TEXT.replace("\n", end).encode()))
    assert texts(path, sample_by=unit) == rows


@pytest.mark.parametrize("unit", ["line", "paragraph", "document"])
@pytest.mark.parametrize("text", ["", "\n \n\t\r\n"])
def test_blank_text_has_no_rows(write, unit, text):
    assert texts(write("a.txt", text.encode()), sample_by=unit) == []


def test_lines_are_rows_unless_something_else_is_asked_for(write):
    path = write("a.txt", b"a\nb")
    assert list(read_rows(path, "a.txt", Layout("text"))) == [Row(1, {"text": "a"}), Row(2, {"text": "b"})]
    assert unit_of("a.txt", Layout("text")) == "line"


@pytest.mark.parametrize("name", ["a.txt", "a.TEXT.gz"])
def test_the_name_tells_the_format(name):
    assert format_of(name) == "text"


@pytest.mark.parametrize("unit", ["paragraph", "document"])
def test_a_row_without_end_is_refused(write, unit):
    path = write("a.txt", b"\n" + (b"a line" * 200 + b"\n") * 14_000)
    with pytest.raises(DataError) as caught:
        texts(path, sample_by=unit)
    assert str(caught.value) == (
        f"a.txt: the {unit} that starts in line 2 is longer than 16,777,216 characters; "
        "set data.sample_by to line or paragraph, or divide the file"
    )
    assert len(texts(path)) == 14_000


@needs_data
def test_all_of_a_real_text_is_read():
    path = Path(DATA) / "tinyshakespeare/input.txt"
    text = path.read_text()
    assert [one for _, one in texts(path)] == [line for line in text.split("\n") if line]
    assert [one for _, one in texts(path, sample_by="paragraph")] == re.split(r"\n\n+", text.strip())
    assert texts(path, sample_by="document") == [(1, text.strip())]
