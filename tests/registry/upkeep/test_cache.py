"""The cache: how much it holds, and what was used longest ago goes first, but never what somebody uses."""

import json
import subprocess
import sys

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.in_use import used
from tunewright.registry.upkeep.cache import look, prune
from tunewright.registry.versions.publish import publish

PULL = """
import sys
from pathlib import Path
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
for reference in sys.argv[3:]:
    print(pull(open_store(sys.argv[1]), reference, cache=Path(sys.argv[2])).folder, flush=True)
sys.stdin.readline()
"""
SHARED, OWN = 100_000, 1_000_000


@pytest.fixture
def registry(tmp_path, write, monkeypatch):
    """`m:1` to `m:3`, each of a file of its own and one that all share, in a folder that commands go to."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    store, shared = open_store(str(tmp_path / "registry")), write("shared", b"s" * SHARED)
    for number in (1, 2, 3):
        files = {"shared": shared, "own": write(f"own-{number}", bytes([number]) * OWN)}
        publish(store, "m", files, run_id=f"run-{number}")
    return store


@pytest.fixture
def pulling(registry, tmp_path):
    """pulling("m:1", "m:2") is a process that has pulled them and goes on, with their folders."""
    begun = []

    def begin(*references):
        command = [sys.executable, "-c", PULL, registry.uri, str(tmp_path / "cache"), *references]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return process, [process.stdout.readline().strip() for _ in references]

    yield begin
    for process in (one for one in begun if one.poll() is None):
        process.communicate("\n", timeout=60)


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_stays(pulling, run, tmp_path):
    cache = tmp_path / "cache"
    ended, _ = pulling("m:2", "m:1", "m:3", "m:2")
    ended.communicate("\n", timeout=60)
    _, (folder,) = pulling("m:1")
    assert json.loads(run("cache", "--json")[1]) == {
        "versions": 3, "in_use": 1, "size": SHARED + 3 * OWN, "removed": 0, "folder": str(cache),
    }  # fmt: skip
    assert run("cache")[1] == f"3 versions, 1 of them in use, 3.1 MB, in {cache}\n"
    assert run("cache", "--prune", "3MB")[1] == f"1 version removed; 2 versions, 1 of them in use, 2.1 MB, in {cache}\n"
    names = {path.name for path in (cache / "versions").iterdir()}
    assert folder.rpartition("/")[2] in names
    assert run("cache", "--prune", "1MB") == (
        1, f"1 version removed; 1 version, 1 of them in use, 1.1 MB, in {cache}: what is in use stays\n", "",
    )  # fmt: skip
    assert {path.name for path in (cache / "versions").iterdir()} == {folder.rpartition("/")[2]}
    assert sorted(path.stat().st_size for path in (cache / "blobs/sha256").iterdir()) == [SHARED, OWN]
    again, _ = pulling("m:2")
    again.communicate("\n", timeout=60)
    assert look(cache).versions == 2


def test_what_broken_downloads_have_left_goes_first(registry, pulling, tmp_path):
    ended, _ = pulling("m:1")
    ended.communicate("\n", timeout=60)
    left = tmp_path / "cache/blobs/sha256" / f"{64 * '0'}.part"
    left.write_bytes(b"x" * OWN)
    assert prune(tmp_path / "cache", SHARED + 2 * OWN).removed == 0
    assert left.exists()
    found = prune(tmp_path / "cache", SHARED + OWN)
    assert (left.exists(), found.removed, found.versions) == (False, 0, 1)


def test_nothing_is_removed_while_somebody_pulls(registry, run, tmp_path):
    (tmp_path / "cache").mkdir()
    with used(tmp_path / "cache"):
        code, _, err = run("cache", "--prune", "1GB")
    assert code == 2
    assert err.startswith(f"error: somebody pulls into {tmp_path / 'cache'} just now, or its disk has no locks; ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--prune", "ten"], "--prune 'ten' is not a size; expected a number of MB, GB or TB, as in 10GB"),
        ([], "there is no cache in {cache} (REGISTRY_CACHE): nothing was pulled yet"),
    ],
)
def test_what_cannot_be_is_one_sentence(registry, run, tmp_path, words, sentence):
    assert run("cache", *words) == (2, "", f"error: {sentence.format(cache=tmp_path / 'cache')}\n")


def test_what_is_no_cache_keeps_every_file(registry, run, tmp_path, monkeypatch):
    ours = tmp_path / "ours"
    for path in ("versions/v1/thesis.doc", "blobs/x", "blobs/sha256/x"):
        (ours / path).parent.mkdir(parents=True, exist_ok=True)
        (ours / path).write_text("mine")
    monkeypatch.setenv("REGISTRY_CACHE", str(ours))
    assert run("cache", "--prune", "0MB")[0] == 0
    assert sorted(path.name for path in ours.rglob("*") if path.is_file()) == ["thesis.doc", "x", "x"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "registry").rename(tmp_path / "elsewhere/registry")
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "elsewhere/registry"))
    code, _, err = run("cache", "--prune", "0MB")
    said = "(REGISTRY_CACHE) is a registry; expected a folder for what is pulled, of its own"
    assert (code, err) == (2, f"error: {tmp_path}/elsewhere/registry {said}\n")
    assert list((tmp_path / "elsewhere/registry/blobs").rglob("*"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "REGISTRY_CACHE is '': expected a folder, or leave it out"),
        (
            "{tmp_path}/registry",
            "REGISTRY_CACHE is the registry itself ({tmp_path}/registry); give it a folder of its own",
        ),
    ],
)
def test_a_cache_that_is_none_is_refused(registry, run, tmp_path, monkeypatch, value, sentence):
    monkeypatch.setenv("REGISTRY_CACHE", value.format(tmp_path=tmp_path))
    code, _, err = run("cache", "--prune", "0MB")
    assert code == 2
    assert sentence.format(tmp_path=tmp_path) in err


def test_a_cache_that_cannot_be_read_is_one_sentence(registry, run, tmp_path):
    (tmp_path / "cache").write_text("")
    code, _, err = run("cache")
    assert (code, err) == (
        2,
        f"error: {tmp_path}/cache (REGISTRY_CACHE) is a file; expected a folder for what is pulled, of its own\n",
    )
