"""Tags and descriptions: said, taken back, never lost to one another, and found again."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import describe, note_on, notes, tag, untag
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import note_key, notes_prefix, version_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import read_version, summarize


@pytest.fixture
def local(tmp_path, monkeypatch, bundle):
    """A registry in a folder, that commands go to, with `m:1` to `m:3`."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    store = open_store(str(tmp_path / "registry"))
    for number, value in enumerate((0.85, 0.9, 0.95), 1):
        summary = summarize("text-classification", "accuracy", value, None)
        publish(store, "m", bundle, run_id=f"run-{number}", summary=summary)
    return store


def test_what_is_said_is_kept_and_said_twice_written_once(store, publish_version):
    version = publish_version(store, "run-1")
    for _ in range(2):
        assert tag(store, version, "released", "small").tags == ("released", "small")
    assert describe(store, version, "for the shop").description == "for the shop"
    for _ in range(2):
        assert untag(store, version, "small").tags == ("released",)
    assert notes(store, "reviews") == {1: note_on(store, version)}
    assert note_on(store, version).description == "for the shop"
    assert len(list(store.list(notes_prefix("reviews")))) == 3
    untag(store, version, "released")
    describe(store, version, "")
    assert notes(store, "reviews") == {}


def test_of_many_who_tag_at_once_none_is_lost(local):
    version = read_version(local, "m", 1)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: tag(local, version, f"tag-{number}"), range(6)))
    assert note_on(local, version).tags == tuple(f"tag-{number}" for number in range(6))


def test_the_commands_say_it_and_lists_tell(local, run):
    assert run("tag", "m:2", "released", "eu") == (0, "m:2: eu, released\n", "")
    assert run("describe", "m:2", "For the shop.") == (0, "m:2: eu, released; For the shop.\n", "")
    told = {"name": "m", "number": 2, "tags": ["eu"], "description": "For the shop."}
    assert json.loads(run("untag", "m:2", "released", "--json")[1]) == told
    run("promote", "m:2", "production")
    assert "  production, #eu  run-2\n" in run("list", "m")[1]
    assert [one["tags"] for one in json.loads(run("list", "m", "--json")[1])] == [[], ["eu"], []]
    shown = run("show", "m:2")[1]
    assert "tags     eu\n" in shown
    assert "about    For the shop.\n" in shown
    assert json.loads(run("show", "m:2", "--json")[1])["tags"] == ["eu"]
    assert run("verify")[0] == 0
    assert run("gc")[0] == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--metric", "accuracy>=0.9"], [2, 3]),
        (["--metric", "accuracy < 0.9"], [1]),
        (["--metric", "f1>=0"], []),
        (["--task", "text-classification", "--metric", "accuracy>0.9"], [3]),
        (["--tag", "released"], [2]),
        (["--task", "translation"], []),
    ],
)
def test_versions_are_found(local, run, words, found):
    run("tag", "m:2", "released")
    assert [one["number"] for one in json.loads(run("search", *words, "--json")[1])] == found
    out = run("search", *words)[1]
    assert (out == f"no version in {local.uri} is so\n") == (not found)


def test_a_damaged_note_is_told_and_hides_nothing(local, run):
    run("tag", "m:2", "released")
    path = Path(local.uri) / note_key("m", 2, 1)
    path.write_bytes(path.read_bytes().replace(b"released", b"Released"))
    code, out, err = run("list", "m")
    assert (code, len(out.splitlines())) == (1, 4)
    assert "was changed or damaged: its content does not match its own checksum" in err
    assert run("search", "--metric", "accuracy>0")[0] == 1


def test_a_description_of_an_earlier_release_forges_no_line(local, run):
    note = describe(local, read_version(local, "m", 1), "ok")
    forged = asdict(replace(note, entry=2, description="ok\naliases  production"))
    local.create(note_key("m", 1, 2), seal({"format": 1, **forged}))
    assert [line for line in run("show", "m:1")[1].splitlines() if line.startswith(("aliases", "about"))] == [
        "aliases  -",
        "about    ok aliases  production",
    ]


def test_a_damaged_record_is_told_and_hides_no_other_version(local, run):
    path = Path(local.uri) / version_key("m", 2)
    path.write_bytes(path.read_bytes().replace(b"run-2", b"run-9"))
    code, out, err = run("search", "--metric", "accuracy>0", "--json")
    assert (code, [one["number"] for one in json.loads(out)]) == (1, [1, 3])
    assert err.startswith(f"error: '{version_key('m', 2)}' in {local.uri} was changed or damaged")
    code, out, err = run("stats")
    assert (code, out) == (1, "")
    assert err.startswith("error: a registry that is not understood whole cannot be counted: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tag", "m:1", "Released!"], "'Released!' is not a tag; expected 1 to 64 of a-z, 0-9"),
        (["tag", "m:1", "latest"], "the tag 'latest' is reserved: @latest is always the highest version"),
        (["tag", "m:1", "a\nb"], "'a\\nb' is not a tag; expected 1 to 64 of a-z, 0-9"),
        (["search", "--tag", "A B"], "'A B' is not a tag; expected 1 to 64 of a-z, 0-9"),
        (
            ["describe", "m:1", "ok\naliases  production"],
            "the description holds the character '\\n'; expected one line",
        ),
        (["promote", "m:1", "a", "--why", "x\ty"], "the reason holds the character '\\t'; expected one line of text"),
        (["delete", "m:1", "--why", "x\u2028y"], "the reason holds the character '\\u2028'; expected one line of text"),
        (["tag", "m:9", "x"], "there is no version 9 of 'm'"),
        (["describe", "m:1", "x" * 5000], "the description has 5000 characters; at most 4096 are kept"),
        (["search"], "nothing is searched for; say --task, --metric or --tag"),
        (["search", "--metric", "good"], "--metric 'good' is not a bound; expected NAME>=VALUE, as in 'accuracy>=0.9'"),
        (["search", "--metric", "a>=1.2.3"], "--metric 'a>=1.2.3' is not a bound; expected NAME>=VALUE"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(local, run, words, sentence):
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence}")
