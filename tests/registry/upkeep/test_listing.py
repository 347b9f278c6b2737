"""`tunewright list` and `search`: requests that do not grow with models and versions, once somebody has looked."""

import argparse
import hashlib
import json
from dataclasses import replace

import pytest

from tunewright.registry.commands.listing import LIST
from tunewright.registry.commands.upkeep.notes import SEARCH
from tunewright.registry.stores.folder import FolderStore
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import tag
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.layout import mark_key, run_key, version_key, version_marks
from tunewright.registry.versions.record import Summary, Version, to_bytes

FIRST = Version("m", 1, f"sha256:{'a' * 64}", "run", "2026-01-31T12:00:00Z", 9, who="a@b", summary=Summary("t", "a", 1))


@pytest.fixture
def bucket_uri(faulty_uri, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", faulty_uri)
    monkeypatch.setattr("tunewright.registry.transfer.compacted.FEW", 2)
    return faulty_uri


def write(store, *versions):
    """Versions without files."""
    for name, number in versions:
        store.create(version_key(name, number), to_bytes(replace(FIRST, name=name, number=number)))


def count(faults, run, *words):
    """How many requests a command takes, and what it tells."""
    faults.requests.clear()
    code, out, _ = run(*words, "--json")
    assert code == 0
    return len(faults.requests), json.loads(out)


def test_versions_are_listed_in_a_few_requests(bucket_uri, faults, run):
    store = open_store(bucket_uri)
    write(store, *(("m", number) for number in range(1, 6)))
    move(store, "m", "production", 3)
    tag(store, replace(FIRST, number=2), "tried")
    first, told = count(faults, run, "list", "m")
    assert [(one["number"], one["tags"], one["aliases"]) for one in told[1:3]] == [
        (2, ["tried"], []),
        (3, [], ["production"]),
    ]
    assert (first > 10, len(told)) == (True, 5)
    again, same = count(faults, run, "list", "m")
    # The versions, the notes, the copies; the alias and its last move; the yanks.
    assert (again, same) == (7, told)
    write(store, ("m", 6))
    assert count(faults, run, "list", "m")[0] == again + 1


def test_models_are_listed_and_searched_in_a_few_requests(bucket_uri, faults, run):
    store, names = open_store(bucket_uri), [f"m{number}" for number in range(4)]
    write(store, *((name, number) for name in names for number in (1, 2)))
    move(store, "m3", "production", 1)
    tag(store, replace(FIRST, name="m2"), "tried")
    for words, requests in ((["list"], 4), (["search", "--task", "t"], 5), (["search", "--tag", "tried"], 5)):
        _, told = count(faults, run, *words)
        again, same = count(faults, run, *words)
        assert (again, same) == (requests, told)  # each kind of object, and the copies
    assert told == [json.loads(json.dumps(told[0]))]
    assert [one["name"] for one in count(faults, run, "list")[1]] == sorted(names)


class Md5s(FolderStore):
    """A store that tells MD5s as buckets do, and counts what a bucket would be asked: a listing for each page."""

    requests = 0

    def list(self, prefix, *, after="", page=1000):
        self.requests += 1
        for number, stat in enumerate(super().list(prefix, after=after, page=page)):
            self.requests += number > 0 and number % page == 0
            yield replace(
                stat, etag=hashlib.md5((self._root / stat.key).read_bytes(), usedforsecurity=False).hexdigest()
            )

    def read(self, key, **more):
        self.requests += 1
        return super().read(key, **more)

    def create(self, key, data):
        self.requests += 1
        return super().create(key, data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "versions", "command", "words", "requests"),
    [
        (1, 10_000, LIST, {"name": "m0"}, 24),
        (1_000, 3, LIST, {"name": None}, 11),
        (1_000, 3, SEARCH, {"task": "t", "metric": None, "tag": None}, 12),
    ],
)
def test_a_large_registry_is_listed_in_under_60_requests(tmp_path, capsys, models, versions, command, words, requests):
    store = Md5s(tmp_path)
    for model in range(models):
        for number in range(1, versions + 1):
            for key, data in (
                (version_key(f"m{model}", number), to_bytes(replace(FIRST, name=f"m{model}", number=number))),
                (mark_key(version_marks(f"m{model}"), number), b""),
                (run_key(f"m{model}", f"run-{number}"), b"a run"),
            ):
                (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / key).write_bytes(data)
    options, spent = argparse.Namespace(json=True, **words), []
    for _ in range(2):
        store.requests = 0
        assert command.run(store, options) == 0
        spent.append(store.requests)
    assert len(json.loads(capsys.readouterr().out.partition("\n]\n")[0] + "]")) in (models, models * versions)
    records = versions if words.get("name") else models * (1 if command is LIST else versions)
    assert spent == [records + requests, requests]
