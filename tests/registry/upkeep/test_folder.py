"""A folder of any framework becomes a version, and finds it again."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.folder import files_of, run_id_of
from tunewright.registry.upkeep.update import RECORD
from tunewright.registry.upkeep.verify import verify
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import version_numbers
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.errors import BundleError


@pytest.fixture
def folder(write):
    """A folder of another framework."""
    write("made/config.json", b'{"kind": "forest"}')
    write("made/empty", b"")
    return write("made/trees/model.bin", b"trees" * 100).parents[1]


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A registry in a folder, that commands go to."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    return open_store(str(tmp_path / "registry"))


def test_a_folder_is_published_and_found_again(run, monkeypatch, store, folder, tmp_path):
    monkeypatch.setenv("REGISTRY_URI", store.uri)
    words = (
        "publish",
        str(folder),
        "--name",
        "forest",
        "--task",
        "tabular",
        "--metric",
        "accuracy=0.93",
        "--why",
        "CI",
    )
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out.startswith("forest:1 is published: 518 bytes, sha256:")
    assert run(*words) == (0, out.replace("is published", "was published before"), "")
    assert run("list")[1].splitlines()[1].split() == ["forest", "1", "accuracy", "0.930"]
    shown = json.loads(run("show", "forest", "--json")[1])
    assert shown["config"] == {"task": "tabular", "metrics": {"accuracy": 0.93}, "why": "CI"}
    assert [file["path"] for file in shown["files"]] == ["config.json", "empty", "trees/model.bin"]
    assert verify(store, "forest:1").problems == ()
    assert (pull(store, "forest", cache=tmp_path / "cache").folder / "trees/model.bin").read_bytes() == b"trees" * 100


def test_other_files_or_another_run_are_another_version(local, run, folder):
    told = [json.loads(run("publish", str(folder), "--name", "forest", "--json")[1])]
    told.append(json.loads(run("publish", str(folder), "--name", "forest", "--run-id", "ci-7", "--json")[1]))
    (folder / "config.json").write_bytes(b"{}")
    told.append(json.loads(run("publish", str(folder), "--name", "forest", "--json")[1]))
    told.append(json.loads(run("publish", str(folder), "--name", "forest", "--run-id", "ci-7", "--json")[1]))
    assert [(one["number"], one["made"]) for one in told] == [(1, True), (2, True), (3, True), (2, False)]
    assert told[0]["digest"] == told[1]["digest"] != told[2]["digest"]
    assert version_numbers(local, "forest") == [1, 2, 3]


def test_what_is_said_of_files_that_were_published_before_is_told_to_be_lost(local, run, folder):
    words = ("publish", str(folder), "--name", "forest", "--task", "tabular", "--metric", "accuracy=0.9")
    run(*words)
    assert "kept" not in run(*words)[1] + run(*words[:4])[1]
    lost = "forest:1 was published before, and what --metric, --why says now is not kept: versions never change: 518 "
    code, out, err = run(*words, "--metric", "f1=0.8", "--why", "CI")
    assert (code, out.startswith(lost), err) == (0, True, "")
    told = json.loads(run(*words[:4], "--task", "ranking", "--json")[1])
    assert (told["made"], told["not_kept"]) == (False, ["task"])
    assert json.loads(run("show", "forest", "--json")[1])["config"] == {"task": "tabular", "metrics": {"accuracy": 0.9}}


def test_what_a_pull_keeps_for_itself_is_left_out_of_every_folder(local, run, folder):
    for place in (folder, folder / "trees"):
        (place / RECORD).write_bytes(b"{}")
    run("publish", str(folder), "--name", "forest")
    files = json.loads(run("show", "forest", "--json")[1])["files"]
    assert [file["path"] for file in files] == ["config.json", "empty", "trees/model.bin"]


def test_a_server_says_that_it_cannot_serve_it(local, run, folder, tmp_path):
    run("publish", str(folder), "--name", "forest")
    with pytest.raises(BundleError, match=r"holds no model.json: it is not a Tunewright version"):
        fetch(local, "forest", cache=tmp_path / "cache")


def test_what_was_deleted_does_not_come_back_by_itself(local, run, folder):
    run("publish", str(folder), "--name", "forest", "--run-id", "ci-7")
    run("delete", "forest:1")
    code, out, err = run("publish", str(folder), "--name", "forest", "--run-id", "ci-7")
    assert (code, out) == (2, "")
    assert err.startswith("error: forest:1 has these files (run ci-7) and was deleted by ")
    assert err.endswith("; with another --run-id they are published anew\n")
    assert run("publish", str(folder), "--name", "forest")[1].startswith("forest:2 is published")


def link(folder):
    (folder / "link").symlink_to("config.json")


def linked_folder(folder):
    (folder / "link").symlink_to("trees")


def pipe(folder):
    os.mkfifo(folder / "pipe")


def odd(folder):
    (folder / "a:b").write_bytes(b"")


def unfinished(folder):
    (folder / "trees/model.bin.part").write_bytes(b"tre")
    (folder / "trees/model.bin.part.json").write_bytes(b"{}")


def bytes_alone(folder):
    (folder / os.fsdecode(b"\xff")).write_bytes(b"")


def empty(folder):
    for name in ("config.json", "empty", "trees/model.bin"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (link, "{folder}/link is a link; a version holds files and folders alone: put what is meant there, or publish"),
        (linked_folder, "{folder}/link is a link; "),
        (pipe, "{folder}/pipe is no file; "),
        (unfinished, "{folder}/trees/model.bin.part is an unfinished download, as a pull leaves that was stopped: "),
        (odd, "'a:b' is not a usable file path; expected plain relative parts"),
        (bytes_alone, "the name '\\udcff' is not valid Unicode, so no version can hold it; rename it"),
        (empty, "{folder} holds no file; expected a folder with the files of a version"),
    ],
)
def test_a_folder_that_cannot_be_a_version_is_one_sentence(run, local, tmp_path, folder, change, sentence):
    change(folder)
    code, out, err = run("publish", str(folder), "--name", "forest")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence.format(folder=folder)}")
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["/no/where", "--name", "forest"], "/no/where is not there; expected a folder with the files of a version"),
        (["/dev/null", "--name", "forest"], "/dev/null is a file; expected a folder with the files of a version"),
        (["{folder}", "--name", "Forest"], "'Forest' is not a model name; expected "),
        (["{folder}", "--name", "forest", "--run-id", "a/b"], "'a/b' is not a run id; expected "),
        (["{folder}", "--name", "forest", "--metric", "good"], "--metric 'good' is not a figure; expected NAME=VALUE"),
        (["{folder}", "--name", "forest", "--metric", "a=nan"], "--metric 'a=nan' is not a figure; expected NAME="),
        (["{folder}", "--name", "forest", "--metric", "a b=1"], "--metric 'a b=1' is not a figure; expected NAME="),
        (
            ["{folder}", "--name", "forest", "--metric", "a=1", "--metric", "a=2"],
            "--metric a is given twice, as 1 and 2; say it once",
        ),
        (
            ["{folder}", "--name", "forest", "--task", "a b"],
            "--task 'a b' is not a task; expected 1 to 256 characters ",
        ),
        (["{folder}", "--name", "forest", "--run-id", ""], "'' is not a run id; expected 1 to 128 of "),
        (
            ["{folder}", "--name", "forest", "--why", "a\nb"],
            "--why holds the character '\\n'; expected one line of text",
        ),
        (["{folder}", "--name", "forest", "--metric", "=1"], "--metric '=1' is not a figure; expected NAME=VALUE"),
    ],
)
def test_words_that_cannot_be_meant_are_one_sentence(run, local, folder, words, sentence):
    code, out, err = run("publish", *(word.format(folder=folder) for word in words))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence}")


def test_a_registry_is_not_published_into_itself(run, monkeypatch, folder):
    monkeypatch.setenv("REGISTRY_URI", str(folder / "var/registry"))
    code, _, err = run("publish", str(folder), "--name", "forest")
    sentence = f"error: {folder} holds the registry {folder}/var/registry itself; publish a folder of files alone\n"
    assert (code, err) == (2, sentence)


def test_two_who_publish_the_same_folder_make_one_version(folder, tmp_path):
    def one(_):
        files = files_of(folder)
        return publish(open_store(str(tmp_path / "registry")), "forest", files, run_id=run_id_of(files)).number

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(one, range(4))) == {1}
