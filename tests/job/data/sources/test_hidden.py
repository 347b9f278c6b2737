"""What is left alone in a folder, on disk and in a bucket alike."""

import boto3
import pytest

from tunewright.job.data.sources.fetch import fetch
from tunewright.job.data.sources.hidden import is_hidden
from tunewright.job.errors import DataError

HIDDEN = [
    ".train.csv", "._train.csv", ".ipynb_checkpoints/train-checkpoint.csv", ".snapshot/old.csv", "a/.git/x.csv",
    "__MACOSX/train.csv", "__MACOSX/._train.csv", "__pycache__/x.csv", "_temporary/0/part.csv", "_SUCCESS",
    "dataset_dict.json",
    "..data/train.csv", "..2026_01_01/train.csv", "a/~$train.csv", "_delta_log/0.json", "_committed_1",
    "_started_1.csv", "_spark_metadata/0", "_SPARK_METADATA/1.json", "lost+found/a.csv", "@eaDir/a.csv",
    "$RECYCLE.BIN/a.csv", "#recycle/a.csv", "System Volume Information/a.csv", "thumbs.DB", ]  # fmt: skip
DATA = [
    "lost.csv",
    "@a.csv",
    "_spark.csv",
    "train.csv",
    "a/b.csv",
    "_train.csv",
    "a_b.csv",
    "a.b/c.csv",
    "train._x.csv",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_or_housekeeping_name_is_one_at_any_depth(name):
    assert is_hidden(name)
    assert is_hidden(f"deep/{name}")


@pytest.mark.parametrize("name", DATA)
def test_a_name_of_data_is_none(name):
    assert not is_hidden(name)


@pytest.fixture(params=["disk", "bucket"])
def folder(request, write, tmp_path, bucket):
    """folder(names): the address of a folder with a table under each of these names."""

    def make(names):
        for name in names:
            if request.param == "disk":
                write(f"data/{name}", b"text,label\nx,a\n")
            else:
                boto3.client("s3").put_object(Bucket=bucket, Key=f"data/{name}", Body=b"text,label\nx,a\n")
        return str(tmp_path / "data") if request.param == "disk" else f"s3://{bucket}/data"

    return make


def found(address, tmp_path):
    return sorted(file.address.partition("data/")[2] for file in fetch(address, tmp_path / "cache"))


def test_hidden_names_are_passed_over_and_counted_in_one_line(folder, tmp_path, capsys):
    hidden = [name for name in HIDDEN if name.endswith((".csv", ".json"))]
    address = folder([*hidden, *DATA])
    assert found(address, tmp_path) == sorted(DATA)
    assert f"{address}: {len(hidden)} hidden or housekeeping files passed over (" in capsys.readouterr().out


def test_a_glob_passes_over_them_too_unless_it_names_them(folder, tmp_path):
    address = folder(["train.csv", ".train.csv", ".old/train.csv"])
    assert found(f"{address}/*.csv", tmp_path) == ["train.csv"]
    assert found(f"{address}/**/*.csv", tmp_path) == ["train.csv"]
    assert found(f"{address}/.old/*.csv", tmp_path) == [".old/train.csv"]


def test_a_file_that_is_named_is_read_whatever_its_name(folder, tmp_path):
    address = folder([".train.csv", "_temporary/x.csv"])
    assert found(f"{address}/.train.csv", tmp_path) == [".train.csv"]
    assert found(f"{address}/_temporary", tmp_path) == ["_temporary/x.csv"]


def test_a_folder_mounted_from_a_config_map_is_read_once(write, tmp_path):
    write("data/..2026_11_25/train.csv", b"text,label\nx,a\n")
    (tmp_path / "data/..data").symlink_to("..2026_11_25")
    (tmp_path / "data/train.csv").symlink_to("..data/train.csv")
    assert found(str(tmp_path / "data"), tmp_path) == ["train.csv"]


def test_empty_objects_neither_hide_a_folder_nor_go_unsaid(bucket, tmp_path, capsys):
    client = boto3.client("s3")
    for key, body in {"data/z": b"", "data/z/train.csv": b"text,label\nx,a\n", "data/z/part-1.csv": b""}.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    assert found(f"s3://{bucket}/data/z", tmp_path) == ["z/train.csv"]
    assert f"s3://{bucket}/data/z: 1 empty file passed over (part-1.csv)" in capsys.readouterr().out


@pytest.mark.parametrize("glob", ["", "/*.csv"])
def test_empty_files_are_passed_over_and_counted(folder, bucket, tmp_path, capsys, glob):
    address = folder(["a.csv"])
    for name in ("b.csv", "c.csv"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"")
        boto3.client("s3").put_object(Bucket=bucket, Key=f"data/{name}", Body=b"")
    assert found(address + glob, tmp_path) == ["a.csv"]
    assert f"{address}{glob}: 2 empty files passed over (" in capsys.readouterr().out


def test_a_folder_of_empty_files_is_refused_as_such(write, tmp_path):
    write("data/a.csv", b"")
    with pytest.raises(DataError) as caught:
        fetch(str(tmp_path / "data"), tmp_path / "cache")
    assert str(caught.value) == f"data source '{tmp_path}/data': every file is empty (a.csv)"


def test_a_folder_of_all_splits_is_warned_about(folder, tmp_path, capsys):
    address = folder(["train.csv", "test.csv"])
    fetch(address, tmp_path / "cache")
    assert f"{address}: test.csv, train.csv look like splits of one data set and are read together" in (
        capsys.readouterr().out
    )


def test_a_path_may_begin_at_home(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("data/train.csv", b"text,label\nx,a\n")
    assert [file.path.name for file in fetch("~/data/train.csv", tmp_path)] == ["train.csv"]
    assert [file.path.name for file in fetch("~/data/*.csv", tmp_path)] == ["train.csv"]
