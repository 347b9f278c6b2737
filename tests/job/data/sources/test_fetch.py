"""Where data comes from: found, fetched once, verified."""

import boto3
import pytest

from tunewright.job.data.sources.fetch import fetch
from tunewright.job.errors import DataError
from tunewright.registry.errors import AddressError, NotFound


@pytest.fixture
def folder(write, monkeypatch, tmp_path):
    """The working directory, with a few files below `data`."""
    for name in ("data/b.csv", "data/a.csv", "data/deep/c.csv", "data/README.md", "data/.hidden.csv"):
        write(name, name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def put(bucket):
    """put("a.csv") writes an object and returns the name of the bucket."""

    def make(*keys, body=b"text,label\n"):
        for key in keys:
            boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return bucket

    return make


def addresses(source, cache):
    return [file.address for file in fetch(source, cache)]


def fault(source, cache):
    with pytest.raises(DataError) as caught:
        fetch(source, cache)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("data/a.csv", ["data/a.csv"]),
        ("./data/*.csv", ["data/a.csv", "data/b.csv"]),
        ("data/**/c.csv", ["data/deep/c.csv"]),
        ("data", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        (["data/b.csv", "data/a.csv"], ["data/b.csv", "data/a.csv"]),
    ],
)
def test_a_file_a_glob_a_folder_and_a_list_are_found(folder, tmp_path, source, found):
    assert addresses(source, tmp_path / "cache") == found


def test_an_absolute_glob_is_found(folder, tmp_path):
    assert addresses(f"{folder}/data/[ab].csv", tmp_path / "cache") == [f"{folder}/data/{name}.csv" for name in "ab"]


def test_a_file_whose_name_looks_like_a_glob_is_itself(folder, write, tmp_path):
    write("data/[a].csv", b"")
    assert addresses("data/[a].csv", tmp_path / "cache") == ["data/[a].csv"]


def test_what_is_not_read_in_a_folder_is_said(folder, tmp_path, capsys):
    fetch("data", tmp_path / "cache")
    assert "data: files that are not data are not read (README.md)" in capsys.readouterr().out


def test_notes_in_a_folder_are_data_only_where_nothing_else_is(folder, write, tmp_path, capsys):
    write("data/LICENSE.txt", b"free")
    write("corpus/a.txt", b"once")
    assert addresses("data", tmp_path / "cache") == ["data/a.csv", "data/b.csv", "data/deep/c.csv"]
    assert "are not read (LICENSE.txt, README.md)" in capsys.readouterr().out
    assert addresses("corpus", tmp_path / "cache") == ["corpus/a.txt"]


def test_a_file_can_be_opened_by_its_source(folder, tmp_path):
    (file,) = fetch("data/a.csv", tmp_path / "cache")
    with open(file, "rb") as opened:  # noqa: PTH123 - libraries open what is given to them so
        assert opened.read() == b"data/a.csv"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("data/x.csv", "data source 'data/x.csv': no such file; data holds .hidden.csv, README.md, a.csv, b.csv, deep"),
        ("data/*.tsv", "data source 'data/*.tsv': no such file; data holds .hidden.csv, README.md, a.csv, b.csv, deep"),
        ("dat/x.csv", "data source 'dat/x.csv': no such file; there is no folder dat"),
        (
            "empty",
            "data source 'empty' is a folder without a data file; data files are named "
            "*.csv, *.tsv, *.json, *.jsonl, *.ndjson, *.parquet, *.arrow, *.conll, *.bio, *.iob, *.iob2, *.conllu, "
            "*.txt, *.text (text formats also with .gz); a glob such as empty/* takes others too",
        ),
        (
            "https://example.org/a.csv",
            "data source 'https://example.org/a.csv' is not a place to read from; use a path, s3://bucket/key "
            "or hf://org/name",
        ),
    ],
)
def test_what_is_not_there_is_said_with_what_is(folder, tmp_path, source, said):
    (folder / "empty").mkdir()
    assert fault(source, tmp_path / "cache") == said


def test_a_loop_of_links_is_said(folder, tmp_path):
    (folder / "loop.csv").symlink_to("loop.csv")
    assert fault("loop.csv", tmp_path / "cache").startswith("data source 'loop.csv': no such file; ")


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("data/a.csv", ["data/a.csv"]),
        ("data/*.csv", ["data/a.csv", "data/b.csv"]),
        ("data/**/*.csv", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("*/?.csv", ["data/a.csv", "data/b.csv"]),
        ("data", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("data/", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("data/[x].csv", ["data/[x].csv"]),
    ],
)
def test_an_object_a_glob_and_a_prefix_are_found(put, tmp_path, key, found):
    name = put(
        "data/a.csv", "data/b.csv", "data/deep/c.csv", "data/_SUCCESS", *(["data/[x].csv"] if "[" in key else [])
    )
    assert addresses(f"s3://{name}/{key}", tmp_path) == [f"s3://{name}/{one}" for one in found]


def test_notes_in_a_bucket_are_data_only_where_nothing_else_is(put, tmp_path):
    name = put("data/a.csv", "data/README.txt", "corpus/a.txt", "corpus/a.md")
    assert addresses(f"s3://{name}/data", tmp_path) == [f"s3://{name}/data/a.csv"]
    assert addresses(f"s3://{name}/corpus/", tmp_path) == [f"s3://{name}/corpus/a.txt"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("data", ["data//b.csv", "data/a.csv", "data/x//y/c.csv"]),
        ("data/", ["data//b.csv", "data/a.csv", "data/x//y/c.csv"]),
        ("data//", ["data//b.csv"]),
        ("data//b.csv", ["data//b.csv"]),
        ("data/*/*.csv", ["data//b.csv"]),
        ("/top.csv", ["/top.csv"]),
    ],
)
def test_keys_with_double_slashes_are_read(put, tmp_path, source, found):
    name = put("data/a.csv", "data//b.csv", "data/x//y/c.csv", "/top.csv")
    files = fetch(f"s3://{name}/{source}", tmp_path)
    assert sorted(file.address for file in files) == [f"s3://{name}/{one}" for one in found]
    assert all(file.path.read_bytes() == b"text,label\n" for file in files)


@pytest.mark.parametrize("key", ["data/../x.csv", "data/./x.csv", "data/a\tb.csv"])
def test_a_key_that_no_client_can_ask_for_is_left_out_by_name(put, tmp_path, capsys, key):
    name = put("data/a.csv")
    put(key)
    assert addresses(f"s3://{name}/data", tmp_path) == [f"s3://{name}/data/a.csv"]
    told = capsys.readouterr()
    assert "1 key holds '.', '..' or control characters and cannot be read, such as " in told.out + told.err


def test_a_whole_bucket_is_a_folder(put, tmp_path):
    assert addresses(f"s3://{put('a.csv')}", tmp_path) == [f"s3://{put()}/a.csv"]


def test_what_is_not_in_the_bucket_is_said_with_what_is(put, tmp_path):
    name = put("data/a.csv", "data/b.csv")
    assert fault(f"s3://{name}/data/x.csv", tmp_path) == (
        f"data source 's3://{name}/data/x.csv': no such object, and no data file below that name; "
        f"s3://{name}/data holds data/a.csv, data/b.csv"
    )


def test_a_bucket_that_is_not_there_is_named(s3, tmp_path):
    with pytest.raises(NotFound, match=f"there is no bucket 'no-such-bucket' at {s3}"):
        fetch("s3://no-such-bucket/a.csv", tmp_path)


def test_an_address_without_a_bucket_is_refused(s3, tmp_path):
    with pytest.raises(AddressError, match="'' is not the name of a bucket"):
        fetch("s3:///a.csv", tmp_path)


def test_a_second_run_reads_nothing_again(put, faults, tmp_path, monkeypatch):
    name = put("data/a.csv", "data/b.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    first = fetch(f"s3://{name}/data/*.csv", tmp_path)
    assert sum(method == "GET" and "data/a.csv" in path for method, path in faults.requests) == 1
    faults.requests.clear()
    assert fetch(f"s3://{name}/data/*.csv", tmp_path) == first
    assert [path for method, path in faults.requests if method == "GET" and "list-type" not in path] == []


def test_a_new_object_of_the_same_name_is_read(put, tmp_path):
    name = put("a.csv")
    (before,) = fetch(f"s3://{name}/a.csv", tmp_path)
    put("a.csv", body=b"text,label\nnew,a\n")
    (after,) = fetch(f"s3://{name}/a.csv", tmp_path)
    assert after.path.read_bytes() == b"text,label\nnew,a\n"
    assert after.sha256 != before.sha256


@pytest.mark.parametrize("spoil", ["file", "record", "record half written", "record gone"])
def test_a_damaged_cache_is_not_trusted(put, tmp_path, spoil):
    source = f"s3://{put('a.csv')}/a.csv"
    (before,) = fetch(source, tmp_path)
    record = before.path.with_suffix(".json")
    if spoil == "file":
        before.path.write_bytes(b"text,lable\n")
    elif spoil == "record gone":
        record.unlink()
    else:
        record.write_text(record.read_text()[:20] if "half" in spoil else "[]")
    assert fetch(source, tmp_path) == [before]
    assert before.path.read_bytes() == b"text,label\n"


@pytest.mark.parametrize("key", ["source.json", "x" * 300 + ".csv", "data/ä ö+%.csv"])
def test_any_name_of_an_object_can_be_kept(put, tmp_path, key):
    (file,) = fetch(f"s3://{put(key)}/{key}", tmp_path)
    assert (file.address, file.path.read_bytes()) == (f"s3://{put()}/{key}", b"text,label\n")


def test_a_download_that_was_cut_off_is_finished(put, faults, tmp_path, monkeypatch):
    name = put("a.csv", body=b"text,label\n" * 100)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    cut = faults.inject("cut", "GET", "a.csv")
    (file,) = fetch(f"s3://{name}/a.csv", tmp_path)
    assert cut.seen == 1
    assert file.path.read_bytes() == b"text,label\n" * 100
