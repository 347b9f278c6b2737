"""Files whose name says one thing and whose bytes another."""

import gzip
import io
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import DataError


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return file.getvalue()


def parquet():
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["x"], "label": ["a"]}), file)
    return file.getvalue()


def array():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "text", "conll", "squad"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped, "a ZIP archive or a spreadsheet (.xlsx); unpack it, or save the sheet as CSV (UTF-8)"),
        (parquet, "Parquet; name it *.parquet, or add `format: parquet` under data:"),
        (lambda: pickle.dumps([1]), "a Python pickle, which is never read; write it as Parquet or CSV"),
        (array, "a numpy array, which is not read; write it as Parquet or CSV"),
        (lambda: b"BZh91AY", "compressed with bzip2; unpack it, or compress it with gzip"),
        (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1", "an old spreadsheet (.xls); save the sheet as CSV (UTF-8)"),
    ],
)
def test_another_content_is_named_with_what_to_do(write, kind, content, said):
    with pytest.raises(DataError) as caught:
        list(read_rows(write("a.x", content()), "a.x", Layout(kind)))
    assert str(caught.value) == f"a.x is {said}"


def test_parquet_and_gzip_are_read_under_the_advised_format(write):
    assert [row.values for row in read_rows(write("a.csv", parquet()), "a.csv", Layout("parquet"))] == [
        {"text": "x", "label": "a"}
    ]
    path = write("b.csv", gzip.compress(b"text,label\nx,a\n"))
    assert [row.values for row in read_rows(path, "b.csv", Layout("csv"))] == [{"text": "x", "label": "a"}]
