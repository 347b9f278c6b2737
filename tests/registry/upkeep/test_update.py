"""A folder of an older version becomes a newer one, and nothing of somebody's own is lost."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.update import RECORD, read_record, update
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import read_version

OLD = {
    "model.json": b"1",
    "same.bin": b"same" * 1000,
    "old/gone.txt": b"gone",
    "onnx/int8/m": b"8",
    "onnx/fp32/m": b"32",
}
NEW = OLD | {"model.json": b"2", "new.txt": b"new", "also.txt": b"new", "onnx/int8/m": b"88"}
del NEW["old/gone.txt"]


@pytest.fixture
def store(tmp_path, write, monkeypatch):
    """A registry in a folder, that commands go to, with `m:1` and `m:2`."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    store = open_store(str(tmp_path / "registry"))
    for number, held in enumerate((OLD, NEW), 1):
        files = {path: write(f"made-{number}/{path}", data) for path, data in held.items()}
        publish(store, "m", files, run_id=f"run-{number}")
    return store


@pytest.fixture
def folder(store, run, tmp_path):
    """Where `m:1` was pulled to."""
    assert run("pull", "m:1", "--to", str(tmp_path / "mine"))[0] == 0
    return tmp_path / "mine"


def held(folder):
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if path != RECORD}


def test_only_what_is_not_alike_moves(store, run, folder):
    (folder / "notes.txt").write_bytes(b"my own")
    same = (folder / "same.bin").stat().st_ino
    assert run("pull", "m:2", "--to", str(folder), "--update") == (
        0, f"m:1 -> m:2: 4 files, 9 bytes moved, 1 removed, in {folder}\n", "",
    )  # fmt: skip
    assert held(folder) == NEW | {"notes.txt": b"my own"}
    assert ((folder / "same.bin").stat().st_ino, (folder / "old").exists()) == (same, False)
    told = json.loads(run("pull", "m", "--to", str(folder), "--update", "--json")[1])
    assert (told["before"], told["number"], told["moved"], told["removed"]) == (2, 2, [], [])
    assert run("pull", "m:1", "--to", str(folder), "--update")[0] == 0
    assert held(folder) == OLD | {"notes.txt": b"my own"}


def test_an_empty_folder_is_filled_and_its_variant_kept(store, run, tmp_path):
    words = ("--to", str(tmp_path / "mine"), "--update")
    assert run("pull", "m:1", *words, "--variant", "int8")[1].startswith("m:1: 4 files, ")
    assert run("pull", "m:2", *words)[0] == 0
    assert held(tmp_path / "mine") == {path: data for path, data in NEW.items() if "fp32" not in path}
    assert run("pull", "m:2", *words, "--variant", "fp32")[0] == 0
    assert held(tmp_path / "mine") == {path: data for path, data in NEW.items() if "int8" not in path}


@pytest.mark.parametrize(("path", "data"), [("model.json", b"mine"), ("old/gone.txt", b"mine"), ("new.txt", b"mine")])
def test_what_somebody_has_changed_is_not_replaced_unless_forced(store, run, folder, path, data):
    (folder / path).write_bytes(data)
    before = held(folder)
    code, out, err = run("pull", "m:2", "--to", str(folder), "--update")
    assert (code, out) == (2, "")
    assert err == (
        f"error: {folder / path} is not as m:1 has it: somebody has changed it; keep it elsewhere, or replace it with "
        "--force\n"
    )
    assert held(folder) == before
    assert run("pull", "m:2", "--to", str(folder), "--update", "--force")[0] == 0
    assert held(folder) == NEW


class Killed(BaseException):
    """The process ends here."""


def test_an_update_that_dies_anywhere_is_ended_by_the_next(store, folder, tmp_path, monkeypatch):
    version = read_version(store, "m", 2)
    layers = read_manifest(store, version).layers
    whole, left = Path.replace, 0

    def replace(path, target):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        return whole(path, target)

    for calls in range(1, 20):
        mine, left = tmp_path / f"copy-{calls}", calls
        shutil.copytree(folder, mine)
        monkeypatch.setattr(Path, "replace", replace)
        with suppress(Killed):
            update(store, version, layers, mine, read_record(mine), force=False, variant=None)
        died = left <= 0
        monkeypatch.setattr(Path, "replace", whole)
        files = held(mine)
        # Who begins with it reads one version or the other, never something of both.
        assert files.get("model.json") is None or {**files, **OLD} == files or {**files, **NEW} == files
        update(store, version, layers, mine, read_record(mine), force=False, variant=None)
        assert held(mine) == NEW
        if not died:
            return
    raise AssertionError("it never came to its end")


def test_without_a_folder_the_files_stay_in_the_cache_and_it_is_told(store, run, tmp_path):
    code, out, err = run("pull", "m:2", "--variant", "int8")
    assert (code, err.startswith("m:2: 5 files, ")) == (0, True)
    assert Path(out.strip()).is_relative_to(tmp_path / "cache/versions")
    assert set(held(Path(out.strip()))) == {path for path in NEW if "fp32" not in path}
    assert json.loads(run("pull", "m:2", "--json")[1])["folder"] == out.strip()


def test_the_record_is_no_part_of_what_is_published(store, run, folder):
    told = json.loads(run("publish", str(folder), "--name", "again", "--json")[1])
    assert told["digest"] == read_version(store, "m", 1).digest


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["m:2", "--update"], "--update needs --to DIR, the folder that is to be brought up to date"),
        (
            ["m:2", "--to", "{folder}", "--force"],
            "--force has no effect without --update: nothing else replaces a file",
        ),
        (["m:2", "--to", "{folder}/old", "--update"], "{folder}/old holds no record of a pull, which earlier releases"),
        (
            ["oci://h/r:t"],
            "what is pulled from an OCI registry goes to an empty folder; say --to DIR, and not --update",
        ),
        (["m:2", "--to", "{folder}"], "{folder}/model.json already exists and is another file; choose an empty folder"),
        (["n:1", "--to", "{folder}", "--update"], "{folder} holds m:1, which is no version of n"),
        (["oci://127.0.0.1:1/r:t", "--to", "{folder}"], "{folder} holds m:1; pull oci://127.0.0.1:1/r:t into an empty"),
        (["m:2", "--to", ""], "argument --to: '' is empty; expected a folder of this machine"),
        (["m:2", "--to", "s3://b/x"], "argument --to: 's3://b/x' is an address; expected a folder of this machine"),
        (["m:2", "--to", "{folder}/model.json"], "{folder}/model.json is a file, or lies below one; expected a folder"),
        (["m:2", "--to", "{registry}/x"], "{registry}/x lies in the registry {registry}, which keeps files of its own"),
        (
            ["m:2", "--to", "{cache}/versions"],
            "{cache}/versions lies in the cache {cache}, which keeps files of its own",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(store, run, folder, write, capsys, words, sentence):
    publish(store, "n", {"f": write("n", b"n")}, run_id="run-1")
    places = {"folder": folder, "registry": store.uri, "cache": os.environ["REGISTRY_CACHE"]}
    try:
        code, out, err = run("pull", *(word.format(**places) for word in words))
    except SystemExit as left:  # the words cannot be read
        code, out, err = left.code, "", capsys.readouterr().err
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence.format(**places)}")


def test_a_damaged_record_is_told(folder):
    path = folder / RECORD
    path.write_bytes(path.read_bytes().replace(b"same.bin", b"../a.bin"))
    with pytest.raises(CorruptObject, match="was changed or damaged: its content does not match its own checksum"):
        read_record(folder)
