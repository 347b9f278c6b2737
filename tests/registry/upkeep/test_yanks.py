"""`tunewright yank`: a version that nobody should begin to use, told wherever it is met."""

import json

import pytest

from tunewright.registry.errors import Conflict
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.layout import mark_key, version_marks
from tunewright.registry.versions.record import read_version
from tunewright.registry.versions.watch import warning_of


@pytest.fixture
def local(tmp_path, publish_version, monkeypatch):
    """A registry in a folder: reviews:2 is in production, and yanked."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    store = open_store(str(tmp_path / "registry"))
    for number in (1, 2):
        publish_version(store, f"run-{number}")
    move(store, "reviews", "production", 2)
    return store


def test_a_yanked_version_is_told_wherever_it_is_met(local, run, tmp_path):
    code, out, err = run("yank", "reviews:2", "--why", "it swears")
    assert (code, err) == (0, "")
    assert out.startswith("reviews:2 is yanked by ")
    assert out.endswith("): it swears; latest passes over it; reviews@production still serves it\n")
    assert run("list", "reviews")[1].splitlines()[1].split()[-4:] == ["yanked:", "it", "swears", "run-2"]
    assert run("list")[1].splitlines()[1].split() == ["reviews", "1", "-", "production", "->", "2"]
    assert [one["yanked"] for one in json.loads(run("list", "reviews", "--json")[1])] == [None, "it swears"]
    [line] = [line for line in run("show", "reviews:2")[1].splitlines() if line.startswith("yanked ")]
    assert line.endswith(" it swears")
    assert json.loads(run("show", "reviews:2", "--json")[1])["yanked"]["reason"] == "it swears"
    assert json.loads(run("show", "reviews", "--json")[1])["number"] == 1
    *_, row, said = run("history", "reviews@production")[1].splitlines()
    assert row.split()[1:3] == ["2", "(yanked)"]
    assert said.startswith("reviews:2 is yanked by ")
    assert json.loads(run("history", "reviews@production", "--json")[1])[0]["yanked"]["reason"] == "it swears"
    run("tag", "reviews:2", "tried")
    assert run("search", "--tag", "tried")[1].rstrip().endswith("tried, yanked: it swears")
    assert json.loads(run("search", "--tag", "tried", "--json")[1])[0]["yanked"] == "it swears"
    for reference in ("reviews:2", "reviews@production"):
        code, out, err = run("pull", reference, "--to", str(tmp_path / reference))
        assert (code, err) == (0, f"warning: {warning_of(local, read_version(local, 'reviews', 2))}\n")
    assert run("pull", "reviews", "--to", str(tmp_path / "latest"))[2] == ""
    assert run("unyank", "reviews:2", "--why", "it does not")[1] == "reviews:2 is not yanked any more\n"
    assert run("unyank", "reviews:2")[1] == "reviews:2 is not yanked\n"
    assert json.loads(run("show", "reviews", "--json")[1])["number"] == 2


def test_an_alias_goes_to_a_yanked_version_with_force_and_a_reason_alone(local, run):
    run("yank", "reviews:1", "--why", "it swears")
    said = warning_of(local, read_version(local, "reviews", 1))
    refused = f"error: {said}; --force --why TEXT points reviews@staging at it all the same\n"
    assert run("promote", "reviews:1", "staging") == (2, "", refused)
    assert run("promote", "reviews:1", "staging", "--dry-run") == (2, "", refused)
    needs = f"error: {said}: --force needs --why TEXT here, which is kept\n"
    assert run("promote", "reviews:1", "staging", "--force") == (2, "", needs)
    with pytest.raises(Conflict, match=r"reviews:1 is yanked by .* points reviews@staging at it all the same"):
        move(local, "reviews", "staging", 1)
    with pytest.raises(Conflict, match=r"reviews:1 is yanked by .*; try another version beside reviews@production"):
        begin(local, "reviews", "production", 1, 10)
    assert run("promote", "reviews:1", "staging", "--force", "--why", "to look at it")[0] == 0
    assert run("rollback", "reviews@staging")[0] == 2
    run("promote", "reviews:2", "staging")
    code, _, err = run("rollback", "reviews@staging")
    assert (code, err) == (0, f"warning: {said}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["yank", "reviews:2"], "--why TEXT is missing: who uses the version is told why it is yanked"),
        (["yank", "reviews", "--why", "x"], "'reviews' would be another version once this is done; say reviews:2"),
        (["yank", "reviews:9", "--why", "x"], "there is no version 9 of 'reviews'"),
        (["yank", "reviews:2", "--why", "x\ty"], "the reason holds the character '\\t'; expected one line of text"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(local, run, words, sentence):
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence}")


def test_a_yank_that_cannot_be_read_stops_nobody_who_is_pinned(local, run, tmp_path):
    run("yank", "reviews:2", "--why", "it swears")
    (tmp_path / "registry" / f"{mark_key(version_marks('reviews'), 2, 'yank')}.{1:020d}.json").write_bytes(b"rubbish")
    for number, reference in enumerate(("reviews@production", "reviews:2")):
        code, _, err = run("pull", reference, "--to", str(tmp_path / f"there-{number}"))
        assert (code, err) == (0, f"warning: {warning_of(local, read_version(local, 'reviews', 2))}\n")
    assert "is not a valid JSON document" in err
    for words in (["list", "reviews"], ["list"], ["verify", "reviews"], ["verify"]):
        code, out, err = run(*words)
        assert (code, bool(out), err.count("is passed over by latest: "), err.count("\n")) == (1, True, 1, 1)
    assert run("show", "reviews", "--json")[0] == run("show", "reviews:2")[0] == 0
    assert run("promote", "reviews:2", "staging")[0] == 2
    assert run("promote", "reviews:2", "staging", "--force", "--why", "it is good")[0] == 0
    assert run("history", "reviews@staging")[0] == 0
    assert run("unyank", "reviews:2")[1] == "reviews:2 is not yanked any more\n"
    assert run("verify")[::2] == (0, "")


def test_a_copy_and_an_export_warn_and_the_copy_is_not_yanked(local, run, tmp_path):
    run("yank", "reviews:2", "--why", "it swears")
    said = f"warning: {warning_of(local, read_version(local, 'reviews', 2))}"
    code, _, err = run("copy", "reviews:2", "--to", str(tmp_path / "other"))
    goes_on = f"; reviews:1 in {tmp_path / 'other'} does not carry that: `tunewright yank` says it there\n"
    assert (code, err) == (0, said + goes_on)
    assert run("export", "reviews:2", "--kserve", str(tmp_path / "kserve"))[2].startswith(f"{said}\n")


def test_a_long_reason_is_refused_and_json_tells_every_character(local, run):
    code, out, err = run("yank", "reviews:2", "--why", "x" * 257)
    assert (code, out, err) == (2, "", "error: the reason has 257 characters; at most 256 are kept: say it shorter\n")
    reason = "it \u202eswears\U000e0001 \u00fc"
    run("yank", "reviews:2", "--why", reason)
    out = run("show", "reviews:2", "--json")[1]
    assert (json.loads(out)["yanked"]["reason"], "\\u202eswears\\udb40\\udc01 \u00fc" in out) == (reason, True)
    assert "it ?swears? \u00fc" in run("show", "reviews:2")[1]
