"""Data files to rows, in every format, with the line of every fault."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.job.data.readers.formats import KNOWN_NAMES, READERS, format_of, read_rows, unit_of
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.errors import DataError

ROWS = [{"text": "fine", "label": "a"}, {"text": 'so, "so"\nla', "label": "b"}]
CSV = 'text,label\nfine,a\n"so, ""so""\nla",b\n'
DATA = os.environ.get("TUNEWRIGHT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")


def read(path, kind, **layout):
    if kind == "tsv":
        layout = {"delimiter": "\t", "quoting": False, **layout}
    return list(read_rows(path, path.name, Layout(format=kind, **layout)))


@pytest.fixture
def fault(write):
    """The sentence about this content."""

    def make(data, kind="csv", **layout):
        with pytest.raises(DataError) as caught:
            read(write(f"a.{kind}", data if isinstance(data, bytes) else data.encode()), kind, **layout)
        return str(caught.value)

    return make


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.csv", "csv"), ("a.TSV.GZ", "tsv"), ("a.json", "json"), ("a.jsonl.gz", "jsonl"), ("a.ndjson", "jsonl")),
        *(("s3://b/a.parquet", "parquet"), ("a.parquet.gz", None), ("README.md", None), ("csv", None), ("a.pkl", None)),
    ],
)
def test_the_format_is_told_by_the_name(name, kind):
    assert format_of(name) == kind


@pytest.mark.parametrize("name", READERS)
def test_each_format_is_one_record(name):
    reader = READERS[name]
    assert reader.name == name
    assert all(format_of(f"a{suffix}") == name and suffix == suffix.lower() for suffix in reader.suffixes)
    assert {format_of(f"a{suffix.upper()}.gz") for suffix in reader.suffixes} <= {name if reader.is_text else None}
    assert unit_of("a", Layout(name)) == reader.unit
    assert all(suffix in KNOWN_NAMES for suffix in reader.suffixes)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("kind", "data", "lines"),
    [
        ("csv", CSV, [2, 3]),
        ("csv", CSV.replace("\n", "\r\n").replace("\r\nla", "\nla"), [2, 3]),
        ("csv", "\ufeff" + CSV, [2, 3]),
        ("csv", CSV.replace("fine", "\n\nfine", 1), [4, 5]),
        ("json", json.dumps(ROWS, indent=1), [1, 2]),
        ("jsonl", "\n".join(json.dumps(row) for row in ROWS), [1, 2]),
        ("jsonl", "\n\r\n" + "\r\n".join(json.dumps(row) for row in ROWS), [3, 4]),
    ],
)
def test_the_same_rows_are_read_from_every_text_format(write, kind, data, lines, pack):
    rows = read(write("a", pack(data.encode())), kind)
    assert [row.values for row in rows] == ROWS
    assert [row.line for row in rows] == lines


def test_parquet_gives_the_same_rows(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", "parquet") == [Row(1, ROWS[0]), Row(2, ROWS[1])]


def test_quotes_are_plain_text_in_tsv(write):
    rows = read(write("a.tsv", b'text\tlabel\n"so\ta\nit\'s 5" wide\tb\n'), "tsv")
    assert [row.values["text"] for row in rows] == ['"so', "it's 5\" wide"]


def test_without_a_header_columns_are_positions(write):
    (row,) = read(write("a.csv", b"a,fine\n"), "csv", header=False)
    assert row == Row(1, {"0": "a", "1": "fine"})


def test_each_table_has_its_own_delimiter(write):
    path = write("a", b"a,b\tc\n1,2\t3\n")
    assert [row.values for row in read_rows(path, "a", Layout("tsv"))] == [{"a,b": "1,2", "c": "3"}]
    assert [row.values for row in read_rows(path, "a", Layout("csv"))] == [{"a": "1", "b\tc": "2\t3"}]


def test_another_delimiter_can_be_chosen(write):
    (row,) = read(write("a.csv", b"text;label\na,b;c\n"), "csv", delimiter=";")
    assert row.values == {"text": "a,b", "label": "c"}


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl"])
def test_an_empty_file_has_no_rows(write, kind):
    assert read(write("a", b""), kind) == []


def test_a_ragged_row_is_a_fault_of_that_row_alone(write):
    rows = read(write("a.csv", b"text,label\nso, so,a\nfine,b\nshort\n"), "csv")
    assert [(row.line, row.fault) for row in rows] == [
        (2, "has 3 values where there are 2 columns (text, label)"),
        (3, None),
        (4, "has 1 values where there are 2 columns (text, label)"),
    ]


QUOTES = "; double it inside a quoted value, or set data.quoting to false where quotes are plain text"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('text,label\n"open,a\n', f"a.csv, line 2: a double quote is opened and never closed{QUOTES}"),
        (
            'text,label\n"open,a\nx,b\n',
            f"a.csv, the row that starts in line 2: a double quote is opened and never closed{QUOTES}",
        ),
        (
            'text,label\n"a"b,c\n',
            f"a.csv, line 2: text stands after a closing double quote{QUOTES}; ',' is "
            "what separates the columns: data.delimiter says so where it is another",
        ),
        (
            "text,label\ra,b\r",
            "a.csv, line 1: a carriage return stands inside a value; "
            "end lines with LF or CRLF, and put values with line breaks in double quotes",
        ),
        ("text,label,text\n", "a.csv: the header names 'text' more than once (text, label, text); rename one of them"),
    ],
)
def test_a_table_that_cannot_be_read_on_is_named_with_its_line(fault, data, said):
    assert fault(data) == said


def test_a_value_that_never_ends_is_no_table(fault):
    assert fault('text\n"' + "long line\n" * 2_000_000) == (
        f"a.csv, the row that starts in line 2: a value is longer than 16,777,216 characters{QUOTES}"
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"a": 1}\n{"a": \n', "a.jsonl, line 2 is not JSON: Expecting value"),
        ("[" * 200_000, "a.jsonl, line 1 is nested too deeply"),
    ],
)
def test_a_line_that_is_not_json_is_named(fault, data, said):
    assert fault(data, "jsonl").startswith(said)


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_a_row_that_is_no_object_is_a_fault_of_that_row(write, kind):
    (row,) = read(write("a", b"[1]" if kind == "json" else b"1"), kind)
    assert row.fault == "is a JSON int, not an object of columns"


@pytest.mark.parametrize("data", [b"", b"PAR1 not really", b"text,label\n"])
def test_what_is_not_parquet_is_said(fault, data):
    said = fault(data, "parquet")
    assert said.startswith("a.parquet is not a whole Parquet file: ")
    assert said.endswith("; copy or write it again")
    assert "\n" not in said


BOMB = "unpacks to more than 33,554,432 bytes; if that is right, raise data.max_expansion or unpack it first"


UNREADABLE = [
    pa.array([1 << 62], pa.timestamp("ms")),
    pa.array([1 << 30], pa.date32()),
    pa.array([1 << 62], pa.duration("ms")),
    pa.array([1], pa.timestamp("us", tz="Nowhere/Else")),
    pa.array([[{"at": 1 << 62}]], pa.list_(pa.struct([("at", pa.timestamp("ms"))]))),
    pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]),
]


@pytest.mark.parametrize("values", UNREADABLE, ids=lambda values: str(values.type))
def test_a_column_of_parquet_that_nobody_asked_for_may_hold_anything(tmp_path, values):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x"], "when": values}), path)
    (row,) = read_rows(path, "a.parquet", Layout("parquet", wanted=("text",)))
    assert row.values == {"text": "x", "when": None}
    with pytest.raises(DataError) as caught:
        read(path, "parquet")
    kind = pq.read_schema(path).field("when").type
    assert str(caught.value) == (
        f"a.parquet: column 'when' of type '{kind}' has a value that cannot be read; write it as text or as a number"
    )


def test_a_parquet_bomb_is_refused_by_the_sizes_it_states(tmp_path):
    table = pa.table({"text": [str(number) + "a" * 100_000 for number in range(1000)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match=f"a.parquet {BOMB}"):
        read(tmp_path / "a.parquet", "parquet")


def test_a_parquet_bomb_of_one_repeated_value_is_refused_while_it_unpacks(tmp_path):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["a" * 1_000_000])
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 2_000_000
    with pytest.raises(DataError, match=f"a.parquet {BOMB}"):
        read(tmp_path / "a.parquet", "parquet")


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string_view()])
def test_every_way_arrow_keeps_text_is_text(tmp_path, kind):
    pq.write_table(pa.table({"text": pa.array(["a", None, "b"]).cast(kind)}), tmp_path / "a.parquet")
    assert [row.values["text"] for row in read(tmp_path / "a.parquet", "parquet")] == ["a", None, "b"]


@needs_data
def test_unbalanced_quotes_of_a_real_tsv_merge_no_rows():
    rows = read(Path(DATA) / "sms_spam/SMSSpamCollection", "tsv", header=False)
    assert len(rows) == 5574
    assert {row.values["0"] for row in rows} == {"ham", "spam"}
    assert not any(row.fault for row in rows)


@needs_data
def test_real_crlf_leaves_no_trace():
    rows = read(Path(DATA) / "sick/SICK_test_annotated.txt", "tsv")
    assert len(rows) == 4927
    assert {row.values["entailment_judgment"] for row in rows} == {"NEUTRAL", "ENTAILMENT", "CONTRADICTION"}


@needs_data
def test_real_newlines_in_quotes_belong_to_their_row():
    rows = read(Path(DATA) / "banking77/train.csv", "csv")
    assert len(rows) == 10_003
    assert sum("\n" in row.values["text"] for row in rows) == 10
