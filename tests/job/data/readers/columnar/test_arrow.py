"""Arrow to rows: streams as `datasets` writes them, and files with a footer."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from tunewright.job.data.readers.columnar.messages import declared, open_arrow
from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import DataError

ROWS = [{"text": f"text {row}", "label": ["good", "bad"][row % 2], "score": row / 2} for row in range(200)]
FORMS = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}
WHOLE = "a.arrow is not a whole Arrow file: "


@pytest.fixture(params=FORMS)
def save(request, tmp_path):
    """save(table) writes a.arrow in either form, several rows to a batch, and returns its path."""

    def write(table, batch=64, **options):
        path = tmp_path / "a.arrow"
        with FORMS[request.param](str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table, max_chunksize=batch)
        return path

    return write


def read(path, **layout):
    return list(read_rows(path, "a.arrow", Layout("arrow", **layout)))


def values(path, column="text", **layout):
    return [row.values[column] for row in read(path, **layout)]


def refusal(path, **layout):
    with pytest.raises(DataError) as caught:
        read(path, **layout)
    return str(caught.value)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_the_rows_are_read_and_numbered(save, compression):
    rows = read(save(pa.Table.from_pylist(ROWS), compression=compression))
    assert [row.values for row in rows] == ROWS
    assert [row.line for row in rows] == list(range(1, 201))


def test_the_names_of_classes_are_those_that_the_file_tells(save, capsys):
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    features = {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    assert values(save(table.replace_schema_metadata(told)), "label") == ["good", "bad", None]
    assert "the numbers in 'label' stand for bad, good" in capsys.readouterr().out


def test_an_image_stays_bytes_whatever_the_file_says_of_it(save):
    image = {"bytes": b"no image", "path": "http://127.0.0.1:9/a.png"}
    table = pa.table({"image": [image, {"bytes": None, "path": "../secret"}]})
    told = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image", "decode": True}}}})}
    path = save(table.replace_schema_metadata(told))
    assert values(path, "image") == [image, {"bytes": None, "path": "../secret"}]


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
        (pa.array([["a", "b"], ["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))), [["a", "b"], ["a"]]),
        (pa.array(["a", None, "b" * 20], pa.string_view()), ["a", None, "b" * 20]),
        (pa.array(["a", "b" * 20], pa.string_view()).cast(pa.large_string()), ["a", "b" * 20]),
        (pa.array([{"en": "one", "de": "eins"}]), [{"en": "one", "de": "eins"}]),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), [[("a", 1)]]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [[1, 2], None]),
        (pa.array([1, 2, 1]).dictionary_encode(), [1, 2, 1]),
        (pa.nulls(3), [None] * 3),
    ],
)
def test_columns_of_every_make_become_plain_values(save, array, found):
    assert values(save(pa.table({"text": array}))) == found


@pytest.mark.parametrize("kind", [pa.list_view(pa.string()), pa.list_(pa.list_view(pa.string()))])
def test_a_column_whose_values_may_overlap_is_refused_where_it_is_used(save, kind):
    value = ["a"] if pa.types.is_list_view(kind) else [["a"]]
    path = save(pa.table({"text": ["x"], "more": pa.array([value], kind)}))
    assert values(path, wanted=("text",)) == ["x"]
    said = refusal(path, wanted=("text", "more"))
    assert said.startswith("a.arrow: column 'more' is of type 'list")
    assert said.endswith("which is not read; write a list")


def test_a_file_cut_off_anywhere_is_not_whole(save):
    path = save(pa.Table.from_pylist(ROWS))
    data = path.read_bytes()
    is_stream = not data.startswith(b"ARROW1")
    for end in range(8, len(data) - (0 if is_stream else 400), 7):
        path.write_bytes(data[:end])
        assert refusal(path).startswith(WHOLE), end


def test_offsets_that_point_elsewhere_are_refused(save):
    path = save(pa.table({"text": ["a" * 7, "b" * 7]}))
    right, wrong = (np.array([0, 7, end], np.int32).tobytes() for end in (14, 1 << 30))
    assert path.read_bytes().count(right) == 1
    path.write_bytes(path.read_bytes().replace(right, wrong))
    assert refusal(path).startswith(WHOLE)


def test_what_is_told_before_it_is_unpacked_is_what_it_is(save):
    table = pa.table({"text": ["x" * 1000] * 100, "tags": [["a", "b"]] * 100})
    for compression in (None, "zstd"):
        with open_arrow(save(table, 1000, compression=compression)) as source:
            (told,) = declared(source)
        assert told.values == 100 + 100 + 200
        assert 100_000 < told.size < 110_000


def test_more_than_a_file_may_unpack_to_is_refused(save):
    path = save(pa.table({"text": ["x" * (40 << 20)]}), compression="zstd")
    assert refusal(path).startswith("a.arrow unpacks to more than 33,554,432 bytes; ")
    assert len(values(path, max_expansion=40_000)) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"text,label\na,b\n", "not a whole Arrow file: it does not begin as one; copy or write it again"),
        (b"PAR1", "Parquet; name it *.parquet, or add `format: parquet` under data:"),
        (b"", "not a whole Arrow file: it does not begin as one; copy or write it again"),
    ],
)
def test_another_content_is_named(write, data, said):
    assert refusal(write("a.arrow", data)) == f"a.arrow is {said}"


def test_a_file_of_another_name_says_which_format_reads_it(save):
    path = save(pa.Table.from_pylist(ROWS))
    with pytest.raises(DataError) as caught:
        list(read_rows(path, "a.csv", Layout("csv")))
    assert str(caught.value).endswith("; name it *.arrow, or add `format: arrow` under data:")
