"""Names of classes that a Parquet file tells by itself."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.job.data.readers.columnar.class_names import advised_names, class_names, is_class, told_names
from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout

CLASS = {"_type": "ClassLabel", "names": ["bad", "good"]}


@pytest.fixture
def rows(write, tmp_path):
    """rows(values, feature): the column `label` of a file that describes it so, or what is wrong with each."""

    def read(values, feature, **layout):
        table = pa.table({"label": values})
        about = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
        pq.write_table(table.replace_schema_metadata(about), tmp_path / "a.parquet")
        found = read_rows(tmp_path / "a.parquet", "a.parquet", Layout("parquet", **layout))
        return [row.fault or row.values["label"] for row in found]

    return read


def test_numbers_become_the_names_of_their_classes(rows, capsys):
    assert rows([1, 0, None, -1], CLASS) == ["good", "bad", None, None]
    assert "the numbers in 'label' stand for bad, good, as the file itself tells" in capsys.readouterr().out


@pytest.mark.parametrize(
    "feature", [[CLASS], {"_type": "Sequence", "feature": CLASS}, {"_type": "List", "feature": CLASS, "length": -1}]
)
def test_lists_of_tags_are_named_too(rows, feature):
    assert rows([[0, 1], [], None], feature) == [["bad", "good"], [], None]


def test_a_number_without_a_name_is_a_fault_of_its_row(rows):
    assert rows([1, 2], CLASS) == [
        "good",
        "column 'label' holds a number that none of the 2 names in the file belongs to",
    ]


def test_the_users_own_names_win(rows):
    assert rows([1, 0], CLASS, use_names=False) == [1, 0]


@pytest.mark.parametrize(
    "about",
    [None, {}, {b"huggingface": b"{"}, {b"huggingface": b"[]"}, {b"huggingface": b'{"info": {"features": [1]}}'},
     {b"huggingface": b'{"info": {"features": {"a": {"_type": "ClassLabel", "names": [1]}}}}'},
     {b"huggingface": b"[" * 100_000}],
)  # fmt: skip
def test_metadata_of_another_kind_tells_nothing(about):
    assert class_names(about) == {}


def test_dictionaries_of_arrow_are_their_values(write, tmp_path):
    labels = pa.array(["good", "bad", "good"]).dictionary_encode()
    pq.write_table(pa.table({"label": labels}), tmp_path / "a.parquet")
    assert [row.values["label"] for row in read_rows(tmp_path / "a.parquet", "a", Layout("parquet"))] == [
        "good", "bad", "good",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-9], lambda data: data.replace(b"label", b"\xffabel"), bytes.lower]
)
def test_a_spoiled_file_tells_no_names(tmp_path, spoil):
    pq.write_table(pa.table({"label": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(spoil((tmp_path / "a.parquet").read_bytes()))
    assert told_names(tmp_path / "b.parquet", Layout("parquet")) == {}


def test_a_number_is_one_of_a_name():
    assert [is_class(label, ("bad", "good")) for label in ("0", "1", "2", "-1", "bad", "1.0", "", "9" * 5000)] == [
        True, True, False, False, False, False, False, False,
    ]  # fmt: skip


def test_many_names_are_not_all_told():
    assert advised_names(["bad", "good"]) == 'add `label_names: {"0": "bad", "1": "good"}` under data:'
    assert advised_names([f"n{at}" for at in range(60)]).startswith("set data.label_names: 0 is n0, 1 is n1, ")
