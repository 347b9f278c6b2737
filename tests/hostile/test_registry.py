"""What somebody with write access may leave in a registry: nothing of it hides what is sound, nothing is believed."""

import hashlib
import json
import subprocess
import sys
from time import process_time

import pytest

from tunewright.registry.errors import BadReference, CorruptObject
from tunewright.registry.program import main
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import aliases, current, move
from tunewright.registry.versions.document import canonical, parse, seal
from tunewright.registry.versions.layout import blob_key, move_key, version_key, versions_prefix
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import read_version, version_numbers
from tunewright.registry.versions.reference import resolve

STRAYS = ["99999999999999999999", "00000000000000050000", "00000000000000000007", "00000000000000000000"]


@pytest.fixture
def folder(tmp_path):
    """A registry folder with `reviews:1`, at which production points."""
    file = tmp_path / "file"
    file.write_text("one")
    store = open_store(str(tmp_path / "registry"))
    publish(store, "reviews", {"model.json": file}, run_id="a")
    move(store, "reviews", "production", 1)
    return tmp_path / "registry"


@pytest.fixture
def listed(folder, monkeypatch, capsys):
    """listed("reviews") is (exit code, standard output, standard error) of `registry list reviews`."""
    monkeypatch.setenv("REGISTRY_URI", str(folder))

    def call(*arguments):
        code = main(["list", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize("number", STRAYS)
def test_a_stray_object_of_any_number_does_not_stop_a_publisher(folder, tmp_path, number):
    store = open_store(str(folder))
    (folder / versions_prefix("reviews") / f"{number}.json").write_text("stray")
    (tmp_path / "file").write_text("two")
    version = publish(store, "reviews", {"model.json": tmp_path / "file"}, run_id="b")
    assert (version.number, version_numbers(store, "reviews")) == (2, [1, 2])
    for reference in ("reviews@latest", "reviews:2", f"reviews@{version.digest}"):
        assert resolve(store, reference) == version


def test_a_forged_record_far_above_the_others_is_a_stranger(folder, listed):
    record = json.loads((folder / version_key("reviews", 1)).read_text())
    del record["sha256"]
    (folder / version_key("reviews", 10**17)).write_bytes(seal(record | {"number": 10**17}))
    assert version_numbers(open_store(str(folder)), "reviews") == [1]
    code, out, err = listed("reviews")
    assert code == 1
    assert "reviews:1 " in out
    assert f"{10**17:020d}.json' in {folder} is not an object of a registry; it is left out, remove it" in err


def test_versions_above_a_removed_one_stay(folder, tmp_path):
    store = open_store(str(folder))
    for number in (2, 3, 4):
        (tmp_path / "file").write_text(str(number))
        publish(store, "reviews", {"model.json": tmp_path / "file"}, run_id=f"run-{number}")
    for number in (1, 3):
        (folder / version_key("reviews", number)).unlink()
    assert version_numbers(store, "reviews") == [2, 4]


def test_a_model_whose_first_versions_were_removed_goes_on_counting(folder, tmp_path):
    path = folder / version_key("reviews", 1)
    record = json.loads(path.read_text())
    del record["sha256"]
    path.unlink()
    (folder / version_key("reviews", 150_000)).write_bytes(seal(record | {"number": 150_000}))
    store = open_store(str(folder))
    assert version_numbers(store, "reviews") == [150_000]
    assert publish(store, "reviews", {"model.json": tmp_path / "file"}, run_id="b").number == 150_001


def test_the_writer_refuses_a_number_that_nobody_can_name():
    with pytest.raises(BadReference, match="is not the number of a version or of a move"):
        version_key("reviews", 10**18)
    with pytest.raises(BadReference, match="expected 1 to 999999999999999999"):
        move_key("reviews", "production", 0)


def test_an_alias_entry_of_the_last_number_neither_moves_nor_stops_the_alias(folder, tmp_path):
    store = open_store(str(folder))
    log = folder / "models/reviews/aliases/production"
    entry = json.loads(next(log.iterdir()).read_text())
    del entry["sha256"]
    (log / f"{10**20 - 1}.json").write_bytes(seal(entry | {"entry": 10**20 - 1}))
    (tmp_path / "file").write_text("two")
    publish(store, "reviews", {"model.json": tmp_path / "file"}, run_id="b")
    assert move(store, "reviews", "production", 2).entry == 2
    assert move(store, "reviews", "production", 1, force=True).entry == 3
    assert current(store, "reviews", "production") == 1


WRONG_FIELDS = [
    *[("size", value) for value in ("abc", None, [], -5, 1.0, True, 10**400)],
    *[("number", value) for value in (True, 1.0, "1", None, 0, 10**18)],
    *[("created", value) for value in (5, "yesterday", None)],
    *[("run_id", value) for value in ({}, "a/b", "", 7)],
    *[("digest", value) for value in ("md5:1", None, "sha256:" + "A" * 64)],
    *[("name", value) for value in ("Reviews", [], "other")],
    *[("format", value) for value in (True, 1.0, "1", 1, 3, None)],
    *[("previous", value) for value in ("md5:1", 7, "")],
    *[("who", value) for value in (7, "x" * 257)],
    *[("summary", value) for value in ("good", [], {"task": 1}, {"value": "high"}, {"interval": [1.0]}, {"more": 1})],
    ("stranger", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
def test_a_record_with_a_wrong_field_is_a_damaged_row(folder, listed, field, value):
    path = folder / version_key("reviews", 1)
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_bytes(seal(record | {field: value}))
    with pytest.raises(CorruptObject):
        read_version(open_store(str(folder)), "reviews", 1)
    code, out, err = listed("reviews")
    assert code == 1
    assert ["reviews:1", "damaged", "-", "-", "production", "-"] in [line.split() for line in out.splitlines()]
    assert "00000000000000000001.json" in err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "1"),
        ("number", None),
        ("number", 1.5),
        ("previous", 0),
        ("kind", "jump"),
        ("moved", 5),
        ("reason", 7),
        ("id", "x"),
        ("entry", True),
        ("digest", "md5:1"),
        ("before", "x"),
        ("highest", 0),
        ("who", 5),
        ("run_id", "a/b"),
    ],
)
def test_a_move_with_a_wrong_field_is_said_and_hides_nothing(folder, listed, field, value):
    store = open_store(str(folder))
    move(store, "reviews", "canary", 1)
    path = folder / move_key("reviews", "production", 1)
    entry = json.loads(path.read_text())
    del entry["sha256"]
    path.write_bytes(seal(entry | {field: value}))
    with pytest.raises(CorruptObject, match="is not a move of an alias"):
        current(store, "reviews", "production")
    assert aliases(store, "reviews") == {"canary": 1}
    code, out, err = listed()
    assert code == 1
    assert "canary -> 1" in out
    assert "is not a move of an alias" in err


@pytest.mark.parametrize(
    "key",
    [
        "models/Reviews/versions/00000000000000000001.json",
        "models/reviews/versions/x.json",
        "models/reviews/versions/00000000000000000002.json.bak",
        "models/reviews/aliases/PROD!/00000000000000000001.json",
        "models/reviews/aliases/latest/00000000000000000001.json",
        "models/reviews/aliases/notes.txt",
        "models/reviews/aliases/production/notes.txt",
        "models/README.md",
        "models/x/versions/x.json",
        "models/reviews/unknown/file",
    ],
)
def test_a_stranger_is_said_and_the_list_goes_on(folder, listed, key):
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    code, out, err = listed()
    assert code == 1
    assert "reviews" in out
    assert "production -> 1" in out
    assert f"{key!r} in {folder} is not an object of a registry" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "data", [b'{"a":"\\ud800"}', b'{"a":1e999}', b'{"a":' + b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"]
)
def test_json_that_cannot_be_written_again_is_refused(data):
    with pytest.raises(CorruptObject, match="is not a valid JSON document"):
        parse(data, "the record")


def test_a_duplicate_key_among_many_costs_linear_time():
    data = b"{" + b",".join(b'"%d":1' % i for i in range(330_000)) + b',"0":1}'
    begun = process_time()
    with pytest.raises(CorruptObject, match="the key '0' stands twice"):
        parse(data, "the manifest")
    assert process_time() - begun < 60  # quadratic time was 45 minutes


def resized(folder, sizes):
    """Rewrite the manifest of reviews:1 and its record so that its file is said to be of another size."""
    record = json.loads((folder / version_key("reviews", 1)).read_text())
    del record["sha256"]
    manifest = json.loads((folder / blob_key(record["digest"])).read_text())
    manifest["layers"][0]["size"] = sizes
    data = canonical(manifest)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    (folder / blob_key(digest)).write_bytes(data)
    (folder / version_key("reviews", 1)).write_bytes(seal(record | {"digest": digest, "size": sizes}))


@pytest.mark.parametrize("size", [0, 2, 4, 563 * 10**12])
def test_a_wrong_size_in_the_manifest_is_refused_before_the_first_byte(folder, tmp_path, size):
    resized(folder, size)
    fetched = []
    with pytest.raises(CorruptObject, match=f"holds 3 bytes, not the {size} declared; none was fetched"):
        pull(open_store(str(folder)), "reviews:1", cache=tmp_path / "cache", on_bytes=fetched.append)
    assert fetched == []
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_record_that_contradicts_its_manifest_is_refused(folder, tmp_path):
    path = folder / version_key("reviews", 1)
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_bytes(seal(record | {"size": 4}))
    with pytest.raises(CorruptObject, match="lists files of 3 bytes, the version's record says 4"):
        pull(open_store(str(folder)), "reviews:1", cache=tmp_path / "cache")


@pytest.mark.parametrize("command", [["list"], ["list", "reviews"], ["show", "reviews"], ["verify", "reviews"]])
def test_half_a_surrogate_pair_ends_no_command_with_a_traceback(folder, command):
    (folder / version_key("reviews", 1)).write_bytes(b'{"name":"\\ud800","sha256":"x"}')
    done = subprocess.run(
        [sys.executable, "-m", "tunewright", *command],
        env={"REGISTRY_URI": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "is not a valid JSON document" in done.stderr
