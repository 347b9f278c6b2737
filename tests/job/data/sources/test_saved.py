"""Folders that `datasets` has written with save_to_disk, on disk and in a bucket."""

import json

import boto3
import pyarrow as pa
import pyarrow.ipc
import pytest

from tunewright.job.data.sources.fetch import fetch, files_at
from tunewright.job.errors import DataError
from tunewright.job.program import main


def arrow(rows):
    table = pa.table({"text": [f"text {row}" for row in range(rows)], "label": [row % 2 for row in range(rows)]})
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def state(*files, **more):
    told = {"_data_files": [{"filename": file} for file in files], "_fingerprint": "0a1b", "_split": "train"}
    return json.dumps(told | more).encode()


def saved(folder="", files=("data-00000-of-00002.arrow", "data-00001-of-00002.arrow"), rows=30):
    """The files of a data set, by their names."""
    data = {folder + file: arrow(rows) for file in files}
    others = {"cache-0a1b2c.arrow": arrow(3), "state.json": state(*files), "dataset_info.json": b"{}"}
    return data | {folder + name: content for name, content in others.items()}


@pytest.fixture(params=["disk", "bucket"])
def put(request, write, tmp_path):
    """put(files): the address of a folder with these files."""

    def on_disk(files):
        for name, content in files.items():
            write(f"set/{name}", content)
        return str(tmp_path / "set")

    def in_bucket(files):
        bucket = request.getfixturevalue("bucket")
        for name, content in files.items():
            boto3.client("s3").put_object(Bucket=bucket, Key=f"set/{name}", Body=content)
        return f"s3://{bucket}/set"

    return on_disk if request.param == "disk" else in_bucket


def names(source, cache):
    return [file.address.removeprefix(source + "/") for file in fetch(source, cache)]


def refusal(source, cache):
    with pytest.raises(DataError) as caught:
        fetch(source, cache)
    return str(caught.value).removeprefix(f"data source {source!r}")


def test_the_files_that_the_folder_lists_are_read_and_no_others(put, tmp_path):
    source = put({**saved(), "data-00000-of-00001.arrow": arrow(5)})
    assert names(source, tmp_path / "cache") == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]


def test_a_folder_of_splits_is_refused_with_their_names(put, tmp_path):
    source = put(saved("train/") | saved("test/") | {"dataset_dict.json": b'{"splits": ["train", "test"]}'})
    assert refusal(source, tmp_path) == (
        f" holds the splits train, test; name the folder of one, such as {source}/train"
    )
    assert names(f"{source}/test", tmp_path) == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    found = files_at(source, tmp_path)
    assert sorted(name.removeprefix(source + "/") for name in found) == [
        f"{split}/data-0000{part}-of-00002.arrow" for split in ("test", "train") for part in (0, 1)
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (state("../../secret.arrow"), ": state.json lists '../../secret.arrow', which is no *.arrow file beside it"),
        (state("a.pkl"), ": state.json lists 'a.pkl', which is no *.arrow file beside it"),
        (state("gone.arrow"), ": state.json lists 'gone.arrow', which is no *.arrow file beside it"),
        (b"{", ": state.json is not as `datasets` writes it"),
        (b"[" * 100_000, ": state.json is not as `datasets` writes it"),
        (b'{"_data_files": ["a.arrow"]}', ": state.json is not as `datasets` writes it"),
        (
            state("data-00000-of-00002.arrow", _indices_data_files=[{"filename": "indices.arrow"}]),
            ": state.json keeps chosen rows as indices; save the data set again",
        ),
    ],
)
def test_a_state_that_lists_anything_else_is_refused(put, tmp_path, content, said):
    source = put({**saved(), "state.json": content, "a.pkl": b"x"})
    assert refusal(source, tmp_path) == said


def test_a_list_of_splits_that_is_none_is_refused(put, tmp_path):
    split = {f"train/{name}": content for name, content in saved().items()}
    source = put({"dataset_dict.json": b"[]", **split})
    assert refusal(source, tmp_path) == ": dataset_dict.json is not as `datasets` writes it"


def test_a_table_called_state_is_data_where_nothing_was_saved(put, tmp_path):
    source = put({"state.json": b'[{"text": "x", "label": "y"}]', "more.json": b"[]"})
    assert names(source, tmp_path) == ["more.json", "state.json"]


def test_a_job_learns_from_a_saved_data_set(put, tiny_base, tmp_path, capsys):
    source = put(saved("train/") | {"dataset_dict.json": b'{"splits": ["train"]}'})
    base = ["--model_name", "x", "--base_model", str(tiny_base), "--data.train", f"{source}/train"]
    assert main(["check", *base]) == 0
    assert "the numbers in 'label' stand for a, b, as the file itself tells" in capsys.readouterr().out


def test_what_the_library_itself_writes_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, 0]}, features=features)
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "set", num_shards={"train": 2})
    assert names(f"{tmp_path}/set/train", tmp_path) == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    assert refusal(str(tmp_path / "set"), tmp_path).startswith(" holds the splits train; ")
