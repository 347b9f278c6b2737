"""Media files that rows name: folders of classes, metadata tables, tables with a path; local and in a bucket."""

import csv
import gzip
import io
import json
import os
import shutil
import struct
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.job.data.readers.formats import format_of, unit_of
from tunewright.job.data.readers.media_folder import MEDIA
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.data.sources.media import Media, find_folders
from tunewright.job.errors import DataError
from tunewright.registry.errors import NotFound, Unreachable

DATA = os.environ.get("TUNEWRIGHT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")

CLASSES = {"cat/1.png": b"one", "cat/2.JPG": b"two", "dog/b b+ä.jpeg": b"three", "a-b/1.gif": b"four"}


def folder_rows(address, cache, kind="imagefolder"):
    """Every row of a folder, and the fingerprint of each of its tables."""
    rows, prints = [], []
    for table in find_folders(address, kind, cache):
        media = Media(table, MEDIA[kind], cache)
        rows += media.rows(Layout(kind))
        prints.append(media.fingerprint())
    return rows, prints


def table_rows(address, column, cache, **layout):
    (table,) = fetch(address, cache)
    return list(Media(table, column, cache).rows(Layout(format_of(address), **layout)))


def opened(row, column="image"):
    return row.values[column].path.read_bytes()


@pytest.fixture
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def disk(tmp_path):
    """disk({"a/b.png": b"..."}) puts files below a folder `signs` and returns its address, without the last /."""

    def put(files):
        for name, data in files.items():
            path = tmp_path / "signs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return str(tmp_path / "signs")

    return put


@pytest.fixture(params=["disk", "bucket"])
def place(request):
    """The same, once on the disk and once in a bucket."""
    if request.param == "disk":
        return request.getfixturevalue("disk")
    bucket = request.getfixturevalue("bucket")

    def put(files):
        client = boto3.client("s3")
        for name, data in files.items():
            client.put_object(Bucket=bucket, Key=f"signs/{name}", Body=data)
        return f"s3://{bucket}/signs"

    return put


@pytest.fixture
def local(disk):
    """A folder of classes on the disk."""
    return Path(disk(CLASSES))


# Folders of classes


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_sub_folder_is_the_label_of_its_files(place, cache, slash):
    address = place({**CLASSES, "a/1.png": b"five", ".hidden/1.png": b"", "cat/.3.png": b""})
    rows, _ = folder_rows(address + slash, cache)
    names = ["a-b/1.gif", "a/1.png", "cat/1.png", "cat/2.JPG", "dog/b b+ä.jpeg"]
    assert [row.values["image"].address for row in rows] == [f"{address}/{name}" for name in names]
    assert [row.values["label"] for row in rows] == ["a-b", "a", "cat", "cat", "dog"]
    assert [opened(row) for row in rows] == [b"four", b"five", b"one", b"two", b"three"]
    assert [row.line for row in rows] == [1, 2, 3, 4, 5]
    assert unit_of(f"{address}/", Layout("imagefolder")) == "file"


def test_a_folder_of_sounds_is_read_alike(disk, cache):
    address = disk({"yes/1.wav": b"one", "no/1.FLAC": b"two", "no/cover.png": b""})
    rows, _ = folder_rows(address, cache, "audiofolder")
    assert [(row.values["label"], opened(row, "audio")) for row in rows] == [("no", b"two"), ("yes", b"one")]


def test_what_is_no_media_is_said(disk, cache, capsys):
    address = disk({"cat/1.png": b"", "cat/Thumbs.db": b"", "notes.txt": b""})
    assert len(folder_rows(address, cache)[0]) == 1
    said = capsys.readouterr().out
    assert f"{address}/: files that are not data are not read (notes.txt)" in said
    assert f"{address}/: 1 hidden or housekeeping file passed over (cat/Thumbs.db)" in said


def test_several_folders_follow_each_other(disk, cache):
    address = disk({"one/cat/1.png": b"one", "two/cat/1.png": b"two"})
    rows, prints = folder_rows([f"{address}/two", f"{address}/one"], cache)
    assert [opened(row) for row in rows] == [b"two", b"one"]
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("name", "fault", "hint"),
    [
        (
            "1.png",
            "stands in no sub-folder, whose name would be its label",
            "make one sub-folder for each label, or write a metadata.csv",
        ),
        (
            "train/cat/1.png",
            "stands more than one sub-folder deep, so that its label cannot be told",
            "name the folder of each split in data.train, data.validation and data.test, or write a metadata.csv",
        ),
    ],
)
def test_a_file_without_a_plain_label_is_a_fault_of_that_file(disk, cache, name, fault, hint):
    rows, _ = folder_rows(disk({"cat/1.png": b"", name: b""}), cache)
    (bad,) = [row for row in rows if row.fault]
    assert (bad.values, bad.fault, bad.found, bad.hint) == ({}, fault, repr(name), hint)
    assert len(rows) == 2


# Metadata tables

METADATA = [
    {"file_name": "1.png", "text": "a cat", "label": "x"},
    {"file_name": "./deep/2.png", "text": "a dog", "label": "y"},
]


def metadata(kind):
    if kind == "jsonl":
        return "\n".join(map(json.dumps, METADATA)).encode()
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(METADATA), sink)
        return sink.getvalue()
    sink = io.StringIO()
    writer = csv.DictWriter(sink, METADATA[0])
    writer.writeheader()
    writer.writerows(METADATA)
    return sink.getvalue().encode()


@pytest.mark.parametrize(
    ("kind", "unit", "lines"), [("csv", "line", [2, 3]), ("jsonl", "line", [1, 2]), ("parquet", "row", [1, 2])]
)
def test_a_metadata_table_describes_the_files_of_its_folder(place, cache, kind, unit, lines):
    files = {"cats/1.png": b"one", "cats/deep/2.png": b"two", f"cats/metadata.{kind}": metadata(kind)}
    address = place(files)
    rows, _ = folder_rows(address, cache)
    assert [(opened(row), row.values["text"], row.values["label"]) for row in rows] == [
        (b"one", "a cat", "x"),
        (b"two", "a dog", "y"),
    ]
    assert [row.values["image"].address for row in rows] == [f"{address}/cats/1.png", f"{address}/cats/deep/2.png"]
    assert all("file_name" not in row.values for row in rows)
    assert [row.line for row in rows] == lines
    assert unit_of(f"{address}/cats/metadata.{kind}", Layout("imagefolder")) == unit


def test_each_folder_may_have_its_own_metadata(disk, cache):
    table = b"file_name,label\n1.png,x\n"
    files = {"a/1.png": b"one", "a/metadata.csv": table, "b/1.png": b"two", "b/metadata.csv": table}
    rows, prints = folder_rows(disk(files), cache)
    assert [opened(row) for row in rows] == [b"one", b"two"]
    assert [one["files"] for one in prints] == [1, 1]


def test_a_metadata_table_may_have_any_dialect(disk, cache):
    address = disk({"1.png": b"one", "metadata.csv": b"file_name;label;\r\n1.png;x\r\n"})
    (table,) = find_folders(address, "imagefolder", cache)
    (row,) = Media(table, "image", cache).rows(Layout("imagefolder", wanted=("image", "label")))
    assert (opened(row), row.values["label"]) == (b"one", "x")


def test_two_metadata_tables_of_one_folder_are_refused(disk, cache):
    address = disk({"a/metadata.csv": b"", "a/metadata.d/metadata.csv": b"", "a/metadata.jsonl": b""})
    with pytest.raises(DataError) as caught:
        find_folders(address, "imagefolder", cache)
    assert str(caught.value) == (
        f"data source '{address}/' holds a/metadata.csv and a/metadata.jsonl for the same files; keep one"
    )


@pytest.mark.parametrize(
    ("table", "fault", "hint"),
    [
        (
            b"file,label\n1.png,x\n",
            "has no column 'file_name'",
            "the columns are 'file', 'label'; 'file_name' names the file and is read as 'image'",
        ),
        (
            b"file_name,image\n1.png,x\n",
            "has a column 'image' of its own",
            "the columns are 'file_name', 'image'; 'file_name' names the file and is read as 'image'",
        ),
        (b"file_name,label\n1.png\n", "has 1 values where there are 2 columns (file_name, label)", ""),
    ],
)
def test_a_metadata_row_that_names_no_file_is_a_fault(disk, cache, table, fault, hint):
    ((row,), _) = folder_rows(disk({"1.png": b"", "metadata.csv": table}), cache)
    assert (row.line, row.values, row.fault, row.hint) == (2, {}, fault, hint)


# Folders that are none


def test_a_folder_without_media_is_refused(disk, cache):
    address = disk({"a.csv": b"", "cat/1.wav": b""})
    with pytest.raises(DataError) as caught:
        find_folders(address, "imagefolder", cache)
    assert str(caught.value) == (
        f"data source '{address}/' holds nothing that imagefolder reads: files named *.png, *.jpg, *.jpeg, *.bmp, "
        "*.gif, *.webp, *.tif, *.tiff, *.ppm, *.pgm, in a sub-folder for each label or beside a metadata.csv"
    )


@pytest.mark.parametrize("name", ["sings", "signs/cat/1.png"])
def test_what_is_no_folder_is_said(local, cache, name):
    with pytest.raises(DataError) as caught:
        find_folders(str(local.parent / name), "imagefolder", cache)
    beside = "1.png, 2.JPG" if "cat" in name else "signs"
    parent = (local.parent / name).parent
    assert str(caught.value) == f"data source '{local.parent / name}/': no such folder; {parent} holds {beside}"


def test_a_bucket_that_is_not_there_is_named(s3, cache):
    with pytest.raises(NotFound, match="there is no bucket 'no-such-bucket'"):
        find_folders("s3://no-such-bucket/signs", "imagefolder", cache)


def test_other_places_are_refused(cache):
    with pytest.raises(DataError) as caught:
        find_folders("https://example.org/signs", "imagefolder", cache)
    assert str(caught.value) == (
        "data source 'https://example.org/signs/' is not a place to read from; use a folder or s3://bucket/folder"
    )


def test_a_folder_that_is_a_link_is_not_followed(local, cache, tmp_path):
    (local / "cow").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError) as caught:
        find_folders(str(local), "imagefolder", cache)
    assert str(caught.value) == (
        f"data source '{local}/': cow/ is a symbolic link to a folder, which is not followed; "
        "copy the folder there, or name it as a source of its own"
    )


def test_a_metadata_table_that_is_a_link_out_is_refused(local, cache, tmp_path):
    (tmp_path / "metadata.csv").write_bytes(b"file_name\n")
    (local / "metadata.csv").symlink_to(tmp_path / "metadata.csv")
    with pytest.raises(DataError) as caught:
        find_folders(str(local), "imagefolder", cache)
    assert str(caught.value) == (
        f"data source '{local}/': a metadata table is a symbolic link that leads out of the folder of the table; "
        "copy the file there"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_folder_that_cannot_be_read_is_said(local, cache):
    (local / "cat").chmod(0)
    with pytest.raises(DataError) as caught:
        find_folders(str(local), "imagefolder", cache)
    (local / "cat").chmod(0o755)
    assert str(caught.value) == f"data source '{local}/': {local}/cat/ cannot be read: Permission denied"


# Tables with a path


def test_a_table_names_files_below_its_own_folder(place, cache):
    table = b"file,digit\ncat/1.png,7\n./dog//1.png,8\ncat/1.png,9\n"
    address = place({"train.csv": table, "cat/1.png": b"one", "dog/1.png": b"two"})
    rows = table_rows(f"{address}/train.csv", "file", cache)
    assert [(opened(row, "file"), row.values["digit"]) for row in rows] == [(b"one", "7"), (b"two", "8"), (b"one", "9")]


def test_a_table_without_a_header_has_a_position(disk, cache):
    address = disk({"train.tsv": b"1.png\t7\n", "1.png": b"one"})
    (row,) = table_rows(f"{address}/train.tsv", "0", cache, header=False)
    assert opened(row, "0") == b"one"


def test_a_table_in_the_working_directory_is_found(local, cache, monkeypatch):
    monkeypatch.chdir(local)
    (local / "train.csv").write_bytes(b"image\ncat/1.png\n")
    (row,) = table_rows("train.csv", "image", cache)
    assert opened(row) == b"one"


def test_rows_without_the_column_are_left_to_the_check(local, cache):
    (local / "train.csv").write_bytes(b"file,label\ncat/1.png,cat\nshort\n")
    first, second = table_rows(str(local / "train.csv"), "image", cache)
    assert first.values == {"file": "cat/1.png", "label": "cat"}
    assert second.fault == "has 1 values where there are 2 columns (file, label)"


RELATIVE = "name files below the folder of the table, such as images/1.png"
NO_NAMES = {
    "leads out of the folder of the table": ["../secret.png", "cat/../../secret.png", "cat/../cat/1.png"],
    "is not relative to the folder of the table": [
        "/etc/passwd",
        "C:\\1.png",
        "s3://other/1.png",
        "file:///etc/passwd",
    ],
    "holds control characters or is not valid Unicode": ["a\nb", "a\0b", "\ud800"],
    "is empty": ["", None],
    "is int, not the name of a file": [7],
    "is dict, not the name of a file": [{"url": "1.png"}],
}


def jsonl(values):
    return "\n".join(json.dumps({"image": value}) for value in values).encode()


def test_no_name_leads_out_of_the_folder(place, cache):
    expected = [(value, f"column 'image' {fault}") for fault, values in NO_NAMES.items() for value in values]
    files = {"cat/1.png": b"", "../secret.png": b"secret", "a.jsonl": jsonl(value for value, _ in expected)}
    rows = table_rows(f"{place(files)}/a.jsonl", "image", cache)
    assert [(row.found, row.fault) for row in rows] == [(repr(value), fault) for value, fault in expected]
    assert not any(row.values for row in rows)
    assert {row.hint for row in rows} == {RELATIVE, "give every row a file, remove the row or set data.drop_empty"}


def test_a_name_of_no_file_is_a_fault(place, cache):
    names = ["none.png", "cat/1.png/x", "x" * 300, "y/" * 600 + "z", "cat\\1.png", "cat", "."]
    address = place({"cat/1.png": b"", "a.jsonl": jsonl(names)})
    rows = table_rows(f"{address}/a.jsonl", "image", cache)
    no_file = f"column 'image' names no file of {address}/"
    assert all(row.fault.startswith(no_file) for row in rows[:5])
    assert {row.fault for row in rows[5:]} <= {no_file, "column 'image' names something that is no file"}
    assert [row.hint for row in rows] == ["write / between folders" if "\\" in name else RELATIVE for name in names]
    assert all(row.found and not row.values for row in rows)


def test_bytes_in_a_table_are_their_own_file(local, cache):
    values = [{"bytes": b"one", "path": "/etc/passwd"}, {"bytes": None, "path": "cat/2.JPG"}]
    values += [{"bytes": None, "path": "/etc/passwd"}, {"bytes": None, "path": None}]
    pq.write_table(pa.table({"image": values}), local / "a.parquet")
    first, second, third, fourth = table_rows(str(local / "a.parquet"), "image", cache)
    assert first.values == {"image": b"one"}
    assert opened(second) == b"two"
    assert third.fault == "column 'image' is not relative to the folder of the table"
    assert fourth.fault == "column 'image' is empty"


def test_a_link_that_leads_out_is_refused(local, cache, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (local / "cat/out.png").symlink_to(tmp_path / "secret.png")
    (local / "cat/in.png").symlink_to("1.png")
    (local / "cat/broken.png").symlink_to("nowhere.png")
    (local / "cat/loop.png").symlink_to("loop.png")
    rows, _ = folder_rows(str(local), cache)
    assert {row.found: row.fault for row in rows if row.fault} == {
        "'cat/out.png'": "column 'image' is a symbolic link that leads out of the folder of the table",
        "'cat/broken.png'": f"column 'image' names no file of {local}/ (No such file or directory)",
        "'cat/loop.png'": f"column 'image' names no file of {local}/ (Too many levels of symbolic links)",
    }
    (link,) = [row for row in rows if row.values and row.values["image"].address == f"{local}/cat/in.png"]
    assert opened(link) == b"one"


def test_a_pipe_is_no_file(local, cache):
    os.mkfifo(local / "cat/pipe.png")
    (bad,) = [row for row in folder_rows(str(local), cache)[0] if row.fault]
    assert bad.fault == "column 'image' names something that is no file"


def test_a_name_that_is_no_text_is_a_fault(local, cache):
    (Path(os.fsdecode(os.fsencode(local) + b"/cat/\xff.png"))).write_bytes(b"")
    (bad,) = [row for row in folder_rows(str(local), cache)[0] if row.fault]
    assert bad.fault == "column 'image' holds control characters or is not valid Unicode"


# Fetching


def test_the_fingerprint_changes_with_any_byte_and_any_name(place, cache):
    address = place(CLASSES)
    before = folder_rows(address, cache)[1]
    assert folder_rows(address, cache)[1] == before
    assert [(one["address"], one["files"], one["bytes"]) for one in before] == [(f"{address}/", 4, 15)]
    place({"cat/1.png": b"One"})
    after = folder_rows(address, cache)[1]
    assert after[0]["sha256"] != before[0]["sha256"]


def test_the_same_folder_has_one_fingerprint_wherever_it_stands(local, bucket, cache):
    for name, data in CLASSES.items():
        boto3.client("s3").put_object(Bucket=bucket, Key=f"other/{name}", Body=data)
    there, here = folder_rows(f"s3://{bucket}/other", cache)[1][0], folder_rows(str(local), cache)[1][0]
    assert there["sha256"] == here["sha256"]


def test_rows_keep_their_order_and_share_a_file_that_is_under_way(bucket, faults, cache, monkeypatch):
    client = boto3.client("s3")
    for number in range(100):
        client.put_object(Bucket=bucket, Key=f"{number}.png", Body=b"%d" % number)
    names = [f"{number}.png" for number in range(100) for _ in range(5)]
    client.put_object(Bucket=bucket, Key="a.csv", Body="\n".join(["image", *names]).encode())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    rows = table_rows(f"s3://{bucket}/a.csv", "image", cache)
    assert [f"{opened(row).decode()}.png" for row in rows] == names
    assert [path for method, path in faults.requests if method == "GET" and "/7.png" in path] == [f"/{bucket}/7.png"]
    faults.requests.clear()
    assert table_rows(f"s3://{bucket}/a.csv", "image", cache) == rows
    assert [path for method, path in faults.requests if ".png" in path] == []


def test_objects_beyond_the_listing_are_asked_for(bucket, cache, monkeypatch):
    monkeypatch.setattr("tunewright.job.data.sources.folders._LISTED", 2)
    for name, data in CLASSES.items():
        boto3.client("s3").put_object(Bucket=bucket, Key=name, Body=data)
    rows, _ = folder_rows(f"s3://{bucket}", cache)
    assert sorted(opened(row) for row in rows) == sorted(CLASSES.values())


def test_a_store_that_fails_ends_the_reading(bucket, faults, cache, monkeypatch):
    boto3.client("s3").put_object(Bucket=bucket, Key="cat/1.png", Body=b"one")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    faults.inject("500 InternalError", "GET", "cat/1.png", times=1000)
    with pytest.raises(Unreachable):
        folder_rows(f"s3://{bucket}", cache)


def test_a_damaged_file_of_the_cache_is_fetched_again(bucket, cache):
    boto3.client("s3").put_object(Bucket=bucket, Key="cat/1.png", Body=b"one")
    ((row,), _) = folder_rows(f"s3://{bucket}", cache)
    row.values["image"].path.write_bytes(b"eno")
    ((row,), _) = folder_rows(f"s3://{bucket}", cache)
    assert opened(row) == b"one"


def test_reading_may_end_early(local, cache):
    (table,) = find_folders(str(local), "imagefolder", cache)
    rows = Media(table, "image", cache).rows(Layout("imagefolder"))
    assert opened(next(rows)) == b"four"
    rows.close()


# Real data


@needs_data
def test_a_real_folder_of_images_can_be_opened(cache):
    from PIL import Image

    rows, (told,) = folder_rows(str(Path(DATA) / "sign_digits"), cache)
    assert (len(rows), told["files"]) == (800, 800)
    assert {row.values["label"] for row in rows} == set("0123456789")
    sizes = {Image.open(row.values["image"]).size for row in rows}
    assert sizes == {(100, 100)}


@needs_data
def test_real_sounds_are_read_through_a_table(cache, tmp_path):
    import soundfile

    shutil.copytree(Path(DATA) / "fsdd/recordings", tmp_path / "recordings")
    names = sorted(path.name for path in (tmp_path / "recordings").iterdir())
    held_out = [name for name in names if "_theo_" in name]
    table = "".join(f"recordings/{name},{name[0]}\n" for name in held_out)
    (tmp_path / "test.csv").write_text(f"audio,label\n{table}")
    rows = table_rows(str(tmp_path / "test.csv"), "audio", cache)
    assert len(rows) == 150
    assert {soundfile.info(row.values["audio"]).samplerate for row in rows} == {8000}


@needs_data
def test_real_images_that_are_no_files_can_be_made_files(cache, tmp_path):
    from PIL import Image

    images = gzip.decompress((Path(DATA) / "mnist_t10k/t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((Path(DATA) / "mnist_t10k/t10k-labels-idx1-ubyte.gz").read_bytes())
    assert struct.unpack(">4i", images[:16]) == (2051, 10_000, 28, 28)
    for number in range(100):
        path = tmp_path / "digits" / str(labels[8 + number]) / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("L", (28, 28), images[16 + 784 * number :][:784]).save(path)
    rows, _ = folder_rows(str(tmp_path / "digits"), cache)
    assert len(rows) == 100
    assert Image.open(rows[0].values["image"]).size == (28, 28)
