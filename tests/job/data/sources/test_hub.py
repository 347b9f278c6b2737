"""Data sets of the hub, from a hub on this machine."""

import io
import json
import shutil
from collections import namedtuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.sources import hub as module
from tunewright.job.data.sources.fetch import fetch, files_at
from tunewright.job.data.sources.media import Media, find_folders
from tunewright.job.errors import DataError
from tunewright.job.program import main
from tunewright.registry.errors import NoSpace

COMMIT = "c" * 40
ROWS = "text,label\n" + "".join(f"text {row},{'good' if row % 2 else 'bad'}\n" for row in range(60))


def parquet(rows=60):
    file = io.BytesIO()
    values = {"text": [f"text {row} of the hub" for row in range(rows)], "label": [row % 2 for row in range(rows)]}
    features = {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(values).replace_schema_metadata(told), file)
    return file.getvalue()


def refusal(source, cache):
    with pytest.raises(DataError) as caught:
        fetch(source, cache)
    return str(caught.value).removeprefix(f"data source {source!r}")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def test_a_split_is_fetched_at_its_commit(hub, cache, capsys):
    hub.files = {"data/train-00000-of-00001.parquet": parquet(), "data/test-00000-of-00001.parquet": parquet(2)}
    (file,) = fetch("hf://org/set/train", cache)
    assert file.address == f"hf://org/set@{COMMIT}/data/train-00000-of-00001.parquet"
    assert file.path.read_bytes() == hub.files["data/train-00000-of-00001.parquet"]
    assert file.size == len(file.path.read_bytes())
    said = capsys.readouterr()
    assert f"hf://org/set/train: 1 file ({file.size / 1000:.1f} kB) at commit {COMMIT}" in said.out
    assert said.err == ""


def test_nothing_but_the_split_is_asked_for(hub, cache):
    card = "---\nconfigs:\n- config_name: default\n  data_files: ['../secret.csv', 'http://127.0.0.1:1/x.csv']\n---\n"
    hub.files = {"train.csv": ROWS.encode(), "README.md": card.encode(), "set.py": b"raise SystemExit", "x.pkl": b"x"}
    fetch("hf://org/set", cache)
    fetched = {path.rpartition("/")[2] for path in hub.requests if "/resolve/" in path}
    assert fetched == {"train.csv"}


def test_what_was_fetched_is_not_asked_for_again(hub, cache):
    hub.files = {"train.csv": ROWS.encode()}
    (first,) = fetch("hf://org/set", cache)
    hub.requests.clear()
    (again,) = fetch("hf://org/set", cache)
    assert (again.sha256, again.path) == (first.sha256, first.path)
    assert hub.requests == ["/api/datasets/org/set"]


def test_a_revision_can_be_asked_for(hub, cache):
    hub.files = {"train.csv": ROWS.encode()}
    for revision in ("v2", "refs/convert/parquet", COMMIT):
        fetch(f"hf://org/set@{revision}", cache)
        assert hub.requests[0] == f"/api/datasets/org/set/revision/{revision}"
        hub.requests.clear()


def test_the_files_of_a_data_set_are_listed_for_init(hub, cache):
    hub.files = {"train.csv": ROWS.encode(), "dev.csv": ROWS.encode(), "README.md": b"# A set"}
    sizes = files_at("hf://org/set", cache)
    assert sizes == {f"hf://org/set@{COMMIT}/{name}.csv": len(ROWS) for name in ("dev", "train")}
    (file,) = fetch(next(iter(sizes)), cache)
    assert file.address == f"hf://org/set@{COMMIT}/dev.csv"


@pytest.mark.parametrize("data", [ROWS.encode(), b"text,label\na,b\n"])
def test_damaged_bytes_in_the_cache_are_fetched_again(hub, cache, data):
    hub.files = {"train.csv": data}
    (file,) = fetch("hf://org/set", cache)
    file.path.resolve().write_bytes(b"X" * len(data))
    (again,) = fetch("hf://org/set", cache)
    assert again.path.read_bytes() == data


@pytest.mark.parametrize("size", [10, 2000])
def test_other_bytes_than_the_hub_tells_are_refused(hub, cache, size):
    hub.files, hub.instead = {"train.csv": b"a" * size}, {"train.csv": b"b" * size}
    assert refusal("hf://org/set", cache) == ": train.csv arrived twice with other bytes than the hub tells"


def test_offline_gives_what_was_fetched_and_asks_nothing(hub, cache, go_offline):
    hub.files = {"train.csv": ROWS.encode(), "test.csv": ROWS.encode()}
    (online,) = fetch("hf://org/set/train", cache)
    hub.requests.clear()
    go_offline()
    (offline,) = fetch("hf://org/set/train", cache)
    assert (offline.sha256, offline.address) == (online.sha256, online.address)
    said = refusal("hf://org/set/test", cache)
    assert said.startswith(" (test.csv) could not be had from the hub (HF_HUB_OFFLINE is set): ")
    assert "\n" not in said
    assert hub.requests == []


def test_offline_the_cache_of_the_library_is_enough(hub, cache, go_offline, tmp_path):
    hub.files = {"train.csv": ROWS.encode()}
    (online,) = fetch("hf://org/set", cache)
    shutil.rmtree(cache)
    references = tmp_path / "hub/datasets--org--set/refs"
    references.mkdir(exist_ok=True)
    (references / "main").write_text(COMMIT)
    go_offline()
    assert fetch("hf://org/set", cache)[0].sha256 == online.sha256
    assert fetch(f"hf://org/set@{COMMIT}/train", cache)[0].sha256 == online.sha256


def test_offline_and_never_fetched_is_said(hub, cache, go_offline):
    go_offline()
    assert refusal("hf://org/set@v2/train", cache) == (
        " was not fetched before, and HF_HUB_OFFLINE forbids to ask the hub; unset it, or fetch the data set where the "
        "network is"
    )
    assert hub.requests == []


def test_a_data_set_or_revision_that_is_not_there_is_said(hub, cache):
    assert refusal("hf://org/other", cache) == (
        ": the hub has no data set 'org/other', or shows it only to some (HF_TOKEN)"
    )
    assert refusal("hf://org/set@v9", cache) == ": the data set has no revision 'v9', or has it no more"


def test_a_gated_data_set_says_what_to_do(hub, cache):
    hub.gated = True
    assert refusal("hf://org/set", cache) == (
        " is given to those who accept its terms on the hub; do so, and set HF_TOKEN"
    )


def test_a_hub_that_does_not_answer_is_said_in_one_sentence(hub, cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    said = refusal("hf://org/set", cache)
    assert said.startswith(" could not be had from the hub: ")
    assert said.endswith("; look at the network, HTTPS_PROXY and HF_ENDPOINT")
    assert "\n" not in said


def test_a_data_set_without_room_is_refused_before_it_is_fetched(hub, cache, monkeypatch):
    hub.files = {"train.csv": ROWS.encode()}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 0))
    with pytest.raises(NoSpace) as caught:
        fetch("hf://org/set", cache)
    assert f"is full; {len(ROWS)} bytes are needed and 0 bytes are free" in str(caught.value)
    assert not [path for path in hub.requests if "/resolve/" in path]


def test_more_than_the_limit_is_refused_before_it_is_fetched(hub, cache, monkeypatch):
    hub.files = {"train.csv": b"a" * 2000}
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    assert refusal("hf://org/set", cache) == (
        " holds 2.0 kB, and more than 1.0 kB of one source are not fetched; name some of its files, such as "
        "hf://org/set/FILE"
    )
    assert not [path for path in hub.requests if "/resolve/" in path]


def test_images_are_read_where_a_table_holds_them_and_not_fetched_by_name(hub, cache):
    images = [{"bytes": b"one", "path": "1.png"}, {"bytes": None, "path": "http://127.0.0.1:9/2.png"}]
    images.append({"bytes": None, "path": "3.png"})
    file = io.BytesIO()
    pq.write_table(pa.table({"image": images}), file)
    hub.files = {"train.parquet": file.getvalue(), "3.png": b"three"}
    (table,) = fetch("hf://org/set", cache)
    rows = list(Media(table, "image", cache).rows(Layout("parquet")))
    assert [row.values.get("image") for row in rows] == [b"one", None, None]
    assert [row.fault for row in rows[1:]] == [
        "column 'image' is not relative to the folder of the table",
        "column 'image' names a file of the hub, of which only tables are fetched",
    ]
    with pytest.raises(DataError, match="of the hub only tables are read"):
        find_folders("hf://org/set", "imagefolder", cache)


@pytest.mark.parametrize(
    ("source", "code"),
    [("hf://org/set", 3), ("hf://org/set@gone/train", 3), ("hf://org/none", 3), ("hf://set", 2)],
)
def test_the_job_says_it_in_one_sentence(hub, source, code, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hub.files = {f"topic_{letter}.csv": ROWS.encode() for letter in "abcdefghij" * 10}
    assert main(["check", "--model_name", "x", "--data.train", source]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: data source {source!r}")


def test_a_job_learns_from_a_data_set_of_the_hub(hub, tiny_base, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hub.files = {"en/train-00000-of-00001.parquet": parquet(), "en/test-00000-of-00001.parquet": parquet(7)}
    sources = ["--data.train", "hf://org/set:en/train", "--data.test", "hf://org/set/test"]
    assert main(["check", "--model_name", "x", "--base_model", str(tiny_base), *sources]) == 0
    assert "the numbers in 'label' stand for bad, good" in capsys.readouterr().out


@pytest.mark.parametrize("sources", [["hf://org/set"], ["hf://org/set/train", "hf://org/set/test"]])
def test_init_writes_settings_for_a_data_set_of_the_hub(sources, hub, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hub.files = {f"{split}/0000.csv": ROWS.encode() for split in ("train", "test")} | {"README.md": b"# A set"}
    assert main(["init", *sources]) == 0
    written = (tmp_path / "job.yaml").read_text()
    for split in ("train", "test"):
        assert f"{split}: hf://org/set@{COMMIT}/{split}/0000.csv" in written
