"""What is believed: by pull, by promote, by canary; each refusal in one sentence, with its exit code."""

import json
import sys
from dataclasses import replace

import pytest

from tunewright.registry.errors import Untrusted
from tunewright.registry.program import main
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.trust.signature import of_version
from tunewright.registry.trust.trust import open_trust, trusted
from tunewright.registry.upkeep.notes import tag
from tunewright.registry.versions.alias import current, last_move, move, remove
from tunewright.registry.versions.latest import unyank, yank
from tunewright.registry.versions.layout import mark_key, move_key, version_marks
from tunewright.registry.versions.numbered import warn
from tunewright.registry.versions.record import read_version, to_bytes, version_numbers


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    return open_store(str(tmp_path / "registry"))


@pytest.fixture
def publish(run, tmp_path):
    """publish("one") publishes a version of `reviews` with the settings that hold."""

    def make(text):
        folder = tmp_path / f"model-{text}"
        folder.mkdir(exist_ok=True)
        (folder / "model.bin").write_text(text)
        code, out, err = run("publish", str(folder), "--name", "reviews", "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return make


@pytest.fixture
def signed(store, use, publish, run):
    """Two versions that `ci` has signed, and the first in production by a move of `ci`; readers trust `ci` alone."""
    use(signing="ci", trusted=["ci"])
    publish("one")
    publish("two")
    assert run("promote", "reviews:1", "production")[0] == 0
    return store


def refused(out):
    """The sentence of a command that has refused to believe something, and has done nothing else."""
    code, text, err = out
    assert (code, text) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip("\n")


def test_what_is_signed_is_pulled(signed, run, tmp_path):
    for reference in ("reviews", "reviews:1", "reviews@production"):
        code, _, err = run("pull", reference, "--to", str(tmp_path / reference))
        assert (code, err) == (0, "")
    assert run("pull", "reviews@production")[0] == 0


def test_publish_tells_who_signs_and_a_second_try_signs_what_was_not(store, use, publish, key, run):
    assert "signed_by" not in publish("one")
    use(signing="ci")
    told = publish("one")
    assert (told["made"], told["signed_by"]) == (False, key("ci").public.id)
    use(trusted=["ci"])
    assert run("verify", "reviews:1")[0] == 0


def test_an_unsigned_version_is_refused_wherever_readers_trust_keys(store, use, publish, run, key, tmp_path):
    publish("one")
    use(signing="ci", trusted=["ci"])
    said = (
        f"reviews:1 in {store.uri} is not signed by a key that is trusted for reviews ({key('ci').public}); whoever "
        "stands behind it says `tunewright sign reviews:1 --key FILE`"
    )
    assert refused(run("pull", "reviews:1")) == said
    assert refused(run("pull", "reviews", "--to", str(tmp_path / "here"))) == said
    assert not (tmp_path / "here").exists()
    assert refused(run("promote", "reviews:1", "production")) == said
    assert refused(run("show", "reviews:1", "--open")) == said
    assert refused(run("push", "reviews:1", "oci://127.0.0.1:1/reviews")) == said
    with pytest.raises(Untrusted):
        trusted(RegistrySettings(), "models:/reviews/1")
    code, out, err = run("verify", "reviews:1")
    assert (code, out.endswith("all digests match\n"), err) == (1, True, f"error: {said}\n")


def test_a_version_that_another_key_has_signed_is_refused(signed, use, run, key):
    use(trusted=["release"])
    assert refused(run("pull", "reviews:1")).startswith(
        f"reviews:1 in {signed.uri} is not signed by a key that is trusted for reviews ({key('release').public}); "
    )


def test_a_version_whose_record_was_exchanged_is_refused(signed, run):
    """The bytes of version 1 under the number 2: both are signed, and neither is the other."""
    first, second = (f"models/reviews/versions/{number:020d}.json" for number in (1, 2))
    one, two = (read_version(signed, "reviews", number) for number in (1, 2))
    signed.delete(second)
    signed.create(second, to_bytes(replace(two, digest=one.digest, size=one.size)))
    assert refused(run("pull", "reviews:2")).startswith(f"reviews:2 in {signed.uri} is not signed by a key that")
    signed.delete(first)
    signed.create(first, to_bytes(replace(one, previous=two.digest)))
    assert refused(run("pull", "reviews:1")).startswith(f"reviews:1 in {signed.uri} is not signed by a key that")


def test_an_alias_that_was_moved_without_a_signature_is_not_followed(signed, use, run, key):
    """To another signed version, by somebody who may write and has no key."""
    move(signed, "reviews", "production", 2)
    said = (
        f"entry 2 of reviews@production, which points at reviews:2, in {signed.uri} is not signed by a key that is "
        f"trusted for reviews@production ({key('ci').public}); whoever stands behind it says `tunewright sign "
        "reviews@production --key FILE`"
    )
    assert refused(run("pull", "reviews@production")) == said
    assert run("pull", "reviews:2")[0] == 0
    code, _, err = run("verify")
    assert (code, err) == (1, f"error: {said}\n")
    # Whoever stands behind the move signs it, or makes another one.
    assert run("sign", "reviews@production")[0] == 0
    assert run("pull", "reviews@production")[0] == 0


@pytest.fixture
def seized(signed, use, publish, run):
    """Moves 1 to 3 are signed and lead from reviews:1 to 3; 4 and 5 go to 1 and to 3, by somebody without a key."""
    publish("three")
    for number in (2, 3):
        assert run("promote", f"reviews:{number}", "production")[0] == 0
    for number in (1, 3):
        move(signed, "reviews", "production", number, force=True)
    return signed


def kinds(run):
    return [entry["kind"] if entry["signed_by"] else None for entry in entries(run)]


def entries(run):
    return json.loads(run("history", "reviews@production", "--json")[1])


def test_a_rollback_follows_signed_moves_alone(seized, run):
    code, out, _ = run("rollback", "reviews@production")
    assert (code, out) == (0, "reviews@production: 3 -> 2\n")
    assert kinds(run) == ["move", "move", "move", None, None, "rollback"]
    assert run("pull", "reviews@production")[0] == 0
    assert run("rollback", "reviews@production", "--to", "2")[0] == 0
    assert len(entries(run)) == 6
    # What is promoted over an unsigned move does not lead back to where that pointed.
    move(seized, "reviews", "production", 1, force=True)
    assert run("promote", "reviews:3", "production")[0] == 0
    assert run("rollback", "reviews@production")[0] == 0
    assert current(seized, "reviews", "production") == 2


def test_a_rollback_to_where_an_alias_was_signs_no_entry_of_somebody_else(seized, run):
    assert run("rollback", "reviews@production", "--to", "3")[0] == 0
    assert kinds(run)[3:] == [None, None, "rollback"]
    assert run("rollback", "reviews@production", "--to", "3")[0] == 0
    assert len(entries(run)) == 6
    # 4 to 6 are nothing, since the alias points where it did.
    assert run("rollback", "reviews@production", "--from", "3")[0] == 0
    assert current(seized, "reviews", "production") == 2
    assert run("rollback", "reviews@production", "--from", "3")[0] == 0
    assert len(entries(run)) == 7


def test_a_rollback_is_refused_where_nothing_signed_leads_back(store, use, publish, run, key):
    for text in ("one", "two"):
        publish(text)
    for number in (1, 2):
        assert run("promote", f"reviews:{number}", "production")[0] == 0
    use(signing="ci", trusted=["ci"])
    assert "entry 2 of reviews@production, which points at reviews:2" in refused(run("rollback", "reviews@production"))
    for number in (1, 2):
        assert run("sign", f"reviews:{number}")[0] == 0
    assert run("sign", "reviews@production")[0] == 0
    code, _, err = run("rollback", "reviews@production")
    assert (code, err) == (
        2,
        "error: reviews@production has nothing to go back to: 2 is the first version it pointed at; moves that no "
        "trusted key has signed do not count\n",
    )
    # Who has looked at it signs the entry.
    said = refused(run("sign", "reviews@production", "--entry", "3"))
    assert said == f"reviews@production has no entry 3 in {store.uri}; its entries are 1 to 2"
    assert "names no alias" in refused(run("sign", "reviews", "--entry", "1"))
    assert run("sign", "reviews@production", "--entry", "1")[:2] == (
        0,
        f"signed by {key('ci').public}: entry 1 of reviews@production, which points at reviews:1\n",
    )
    assert run("verify")[0] == 0
    assert run("rollback", "reviews@production")[0] == 0


def test_a_rollback_goes_to_no_version_that_is_not_believed(signed, run):
    assert run("promote", "reviews:2", "production")[0] == 0
    (stat,) = signed.list(f"signatures/reviews/{of_version(read_version(signed, 'reviews', 1)).digest}/")
    signed.delete(stat.key)
    assert refused(run("rollback", "reviews@production")).startswith(f"reviews:1 in {signed.uri} is not signed by ")
    assert current(signed, "reviews", "production") == 2


def test_history_and_verify_tell_unsigned_moves_below_signed_ones(seized, use, run, key):
    assert run("rollback", "reviews@production")[0] == 0
    rows = run("history", "reviews@production")[1].splitlines()[1:]
    assert ["move, not signed" in row for row in rows] == [False, True, True, False, False, False]
    assert [entry["signed_by"] is None for entry in entries(run)] == [False, False, False, True, True, False]
    said = [
        f"error: entry {entry} of reviews@production, which points at reviews:{number}, in {seized.uri} is not signed "
        f"by a key that is trusted for reviews@production ({key('ci').public}); whoever stands behind it says "
        f"`tunewright sign reviews@production --entry {entry} --key FILE`\n"
        for entry, number in ((4, 1), (5, 3))
    ]
    for words in (("verify",), ("verify", "reviews"), ("verify", "reviews@production")):
        code, _, err = run(*words)
        assert (code, err) == (1, "".join(said))
    use()
    assert not any("signed_by" in entry for entry in entries(run))
    assert "not signed" not in run("history", "reviews@production")[1]


def test_a_removal_that_nobody_has_signed_is_refused_like_a_move(signed, run, key):
    remove(signed, "reviews", "production")
    said = (
        f"entry 2 of reviews@production, which lets it point nowhere, in {signed.uri} is not signed by a key that is "
        f"trusted for reviews@production ({key('ci').public}); whoever stands behind it says `tunewright sign "
        "reviews@production --entry 2 --key FILE`"
    )
    assert refused(run("pull", "reviews@production")) == said
    assert run("verify")[::2] == (1, f"error: {said}\n")
    with pytest.raises(Untrusted, match="which lets it point nowhere"):
        open_trust(RegistrySettings()).look(signed, "reviews@production")
    # A rollback brings it back, and then it is a signed removal that is believed.
    assert run("rollback", "reviews@production", "--to", "1")[0] == 0
    assert run("pull", "reviews@production")[0] == 0
    assert run("unalias", "reviews@production")[0] == 0
    assert refused(run("pull", "reviews@production")).startswith("there is no alias 'production' of 'reviews'")


def test_an_alias_whose_move_is_not_signed_is_no_way_to_another(signed, run):
    move(signed, "reviews", "staging", 2)
    for words in (
        ("promote", "reviews@staging", "production"),
        ("canary", "reviews@production", "reviews@staging", "1"),
    ):
        assert "entry 1 of reviews@staging" in refused(run(*words))


def test_a_yank_counts_once_a_trusted_key_has_signed_it_and_until_then_that_is_said(signed, run):
    warn.cache_clear()
    gone = yank(signed, read_version(signed, "reviews", 2), "it is slow")
    said = f"reviews:2 was yanked by {gone.who} ({gone.written}), which no trusted key has signed: it does not count\n"
    assert run("pull", "reviews")[2].startswith(f"warning: {said}reviews:2: ")
    warn.cache_clear()
    code, out, err = run("show", "reviews:2")
    assert (code, "\nyanked " in out, err) == (0, False, f"warning: {said}")
    assert run("promote", "reviews:2", "staging")[0] == 0
    code, _, err = run("verify", "reviews")
    assert (code, "entry 1 about a yank of reviews:2, which yanks it, in " in err) == (1, True)
    code, out, _ = run("sign", "reviews:2", "--yank")
    assert (code, out.endswith(": entry 1 about a yank of reviews:2, which yanks it\n")) == (0, True)
    assert run("pull", "reviews")[2].startswith("reviews:1: ")
    assert run("pull", "reviews:2")[2].startswith(f"warning: reviews:2 is {gone}\n")
    assert "it is slow" in run("show", "reviews:2")[1]
    assert f"reviews:2 is {gone}; --force" in refused(run("promote", "reviews:2", "production"))
    assert run("verify", "reviews")[0] == 0


def test_whatever_lists_versions_tells_the_yanks_that_count(signed, run, tmp_path):
    tag(signed, read_version(signed, "reviews", 2), "tried")
    gone = yank(signed, read_version(signed, "reviews", 2), "it is slow")
    said = f"warning: reviews:2 was yanked by {gone.who} ({gone.written}), which no trusted key has signed"
    assert run("promote", "reviews:2", "production")[0] == 0
    page = tmp_path / "site" / "models" / "reviews" / "index.html"
    commands = [("list",), ("list", "reviews"), ("history", "reviews@production"), ("search", "--tag", "tried")]

    def told():
        for words in [*commands, ("site", str(tmp_path / "site"))]:
            warn.cache_clear()
            yield run(*words)

    for code, out, err in told():
        assert (code, "slow" in out, err.startswith(said)) == (0, False, True)
    assert json.loads(run("list", "--json")[1])[0]["latest"] == 2
    assert "it is slow" not in page.read_text()
    assert run("sign", "reviews:2", "--yank")[0] == 0
    assert [err for _, _, err in told()] == [""] * 5
    assert json.loads(run("list", "--json")[1])[0]["latest"] == 1
    assert "it is slow" in page.read_text()


def test_yank_and_unyank_sign_what_they_say_and_go_on_after_what_does_not_count(signed, run, key):
    assert refused(run("sign", "reviews:2", "--yank")).startswith("nothing was said about yanking reviews:2 in ")
    assert "--yank is about a version alone; say it as in reviews:7" in refused(run("sign", "reviews", "--yank"))
    yank(signed, read_version(signed, "reviews", 2), "it is slow")
    assert json.loads(run("unyank", "reviews:2", "--json")[1])["yanked"] is False  # nobody has yanked it
    made = json.loads(run("yank", "reviews:2", "--why", "it is slow", "--json")[1])
    assert (made["entry"], made["signed_by"]) == (2, key("ci").public.id)
    assert json.loads(run("yank", "reviews:2", "--why", "it is slow", "--json")[1])["entry"] == 2
    unyank(signed, read_version(signed, "reviews", 2))
    assert "\nreviews:1: " in run("pull", "reviews")[2]
    signed.create(f"{mark_key(version_marks('reviews'), 2, 'yank')}.{4:020d}.json", b"nonsense")
    assert "is not a valid JSON document" in run("pull", "reviews:2")[2]
    assert json.loads(run("unyank", "reviews:2", "--json")[1])["entry"] == 5
    assert run("pull", "reviews")[2].startswith("reviews:2: ")


def test_a_yank_is_refused_where_it_would_not_be_believed(signed, use, run):
    use(trusted=["ci"])
    for words in (("yank", "reviews:2", "--why", "slow"), ("unyank", "reviews:2")):
        assert refused(run(*words)).startswith("REGISTRY_TRUSTED_KEYS is set and REGISTRY_SIGNING_KEY is not")
    use(signing="ada", trusted=["ci"])
    assert "is not trusted for reviews by " in refused(run("yank", "reviews:2", "--why", "slow"))
    assert not [stat for stat in signed.list("marks/") if ".yank." in stat.key]


def test_without_the_library_nothing_is_published_or_moved_unsigned(store, use, publish, run, tmp_path, monkeypatch):
    publish("one")
    use(signing="ci")
    for name in ("nacl", "nacl.signing"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "model-two").mkdir()
    (tmp_path / "model-two/model.bin").write_text("two")
    for words in (
        ("publish", str(tmp_path / "model-two"), "--name", "reviews"),
        ("promote", "reviews:1", "production"),
        ("sign", "reviews:1"),
    ):
        assert refused(run(*words)).endswith("; `pip install pynacl` brings it")
    assert version_numbers(store, "reviews") == [1]
    assert not list(store.list("models/reviews/aliases/"))


def test_an_old_move_is_no_new_one(signed, run):
    assert run("promote", "reviews:2", "production")[0] == 0
    assert run("promote", "reviews:1", "production", "--force")[0] == 0
    signed.delete(move_key("reviews", "production", 3))
    signed.create(move_key("reviews", "production", 3), signed.read(move_key("reviews", "production", 2)))
    code, _, err = run("pull", "reviews@production")
    assert (code, "is entry 2 of reviews@production, not of this log" in err) == (1, True)


def test_rollback_and_canary_are_signed_as_well(signed, run):
    assert run("promote", "reviews:2", "production")[0] == 0
    assert run("rollback", "reviews@production")[0] == 0
    assert run("canary", "reviews@production", "reviews:2", "10")[0] == 0
    assert run("canary", "reviews@production", "--end")[0] == 0
    assert run("pull", "reviews@production")[0] == 0
    assert run("unalias", "reviews@production")[0] == 0
    assert run("verify")[0] == 0
    assert len(list(signed.list("signatures/reviews/"))) == 2 + 3 + 2 + 1


def test_nothing_is_written_that_would_not_be_believed(signed, use, run, key, tmp_path):
    use(trusted=["ci"])
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a").write_text("a")
    for place, *words in (
        ("reviews@production", "promote", "reviews:2", "production"),
        ("reviews@production", "rollback", "reviews@production"),
        ("reviews@production", "unalias", "reviews@production"),
        ("reviews@production", "canary", "reviews@production", "reviews:2", "10"),
        ("reviews", "publish", str(tmp_path / "model"), "--name", "reviews"),
    ):
        assert refused(run(*words)) == (
            "REGISTRY_TRUSTED_KEYS is set and REGISTRY_SIGNING_KEY is not: nothing that is written to "
            f"{place} without a signature would be believed; name the file of a private key"
        )
    use(signing="stranger", trusted=["ci"])
    assert refused(run("promote", "reviews:2", "production")) == (
        f"the key {key('stranger').public} (REGISTRY_SIGNING_KEY) is not trusted for reviews@production by "
        f"{tmp_path}/keys/trusted.pem: what it signs would not be believed"
    )
    assert current(signed, "reviews", "production") == 1


def test_each_alias_may_have_movers_of_its_own(signed, use, run, key, tmp_path, monkeypatch):
    key("release")
    file = tmp_path / "keys/trusted.yaml"
    file.write_text("reviews: ci.pub.pem\nreviews@production: release.pub.pem\n")
    monkeypatch.setenv("REGISTRY_TRUSTED_KEYS", str(file))
    assert "is not trusted for reviews@production" in refused(run("promote", "reviews:2", "production"))
    assert "entry 1 of reviews@production" in refused(run("pull", "reviews@production"))
    assert run("promote", "reviews:1", "staging")[0] == 0
    monkeypatch.setenv("REGISTRY_SIGNING_KEY", str(tmp_path / "keys/release.pem"))
    assert run("promote", "reviews:2", "production")[0] == 0
    assert run("pull", "reviews@production")[0] == 0
    file.write_text("topics: ci.pub.pem\n")
    assert refused(run("pull", "reviews:1")) == (
        f"{file} (REGISTRY_TRUSTED_KEYS) names no key for reviews: nothing of it is believed"
    )


def test_a_key_is_changed_without_a_moment_in_which_nothing_is_believed(signed, use, run, publish):
    use(signing="new", trusted=["ci", "new"])
    publish("three")
    for reference in ("reviews:1", "reviews:3", "reviews@production"):
        assert run("pull", reference)[0] == 0
    for reference in ("reviews:1", "reviews@production"):
        assert run("sign", reference)[0] == 0
    use(signing="new", trusted=["new"])
    assert run("pull", "reviews@production")[0] == 0
    assert "reviews:2" in refused(run("pull", "reviews:2"))


def test_sign_tells_what_it_has_signed(signed, use, run, key, tmp_path):
    use()
    assert refused(run("sign", "reviews:1", "--key", "")) == "--key is '': expected a file, or leave it out"
    assert refused(run("sign", "reviews:1")) == "no key is named; say --key FILE, or set REGISTRY_SIGNING_KEY"
    file, public = key("other") and tmp_path / "keys/other.pem", key("other").public
    assert run("sign", "reviews:1", "--key", str(file)) == (0, f"signed by {public}: reviews:1\n", "")
    code, out, _ = run("sign", "reviews@production", "--key", str(file), "--json")
    told = {"signed": ["reviews:1", "entry 1 of reviews@production, which points at reviews:1"], "signed_by": public.id}
    assert (code, json.loads(out)) == (0, told)
    assert refused(run("sign", "reviews:1", "--key", str(tmp_path / "no.pem"))).startswith("--key: ")
    shown = json.loads(run("show", "reviews:1", "--json")[1])
    assert sorted(shown["signatures"]) == sorted([public.id, key("ci").public.id])
    assert sum(line.startswith("signature ") for line in run("show", "reviews:1")[1].splitlines()) == 2


def test_a_damaged_signature_is_refused_and_verify_names_it(signed, run):
    for stat in list(signed.list("signatures/")):
        data = signed.read(stat.key)
        signed.delete(stat.key)
        signed.create(stat.key, data[:-2])
    said = refused(run("pull", "reviews:1"))
    assert said.startswith(f"reviews:1 in {signed.uri} is not signed by a key that is trusted for reviews (")
    assert " is not a valid JSON document: " in said
    signed.create("signatures/reviews/readme", b"")
    code, out, err = run("verify")
    assert (code, out.count("all digests match")) == (1, 2)
    assert err.count("is not a valid JSON document: ") == 3 + 3
    assert "'signatures/reviews/readme' in " in err


def test_a_copy_is_signed_by_whoever_copies(signed, use, run, tmp_path, monkeypatch, key):
    other = str(tmp_path / "other")
    assert run("copy", "reviews:1", "--to", other)[0] == 0
    use(signing="mirror", trusted=["ci"])
    code, out, _ = run("copy", "reviews:2", "--to", other, "--json")
    assert (code, json.loads(out)["signed_by"]) == (0, key("mirror").public.id)
    monkeypatch.setenv("REGISTRY_URI", other)
    # Number and predecessor are the same there.
    assert run("pull", "reviews:2")[0] == 0
    use(trusted=["mirror"])
    assert run("pull", "reviews:2")[0] == 0


def test_what_is_not_believed_is_not_copied_and_so_not_signed_anew(signed, use, publish, run, tmp_path):
    use()
    publish("three")
    use(signing="ci", trusted=["ci"])
    other = tmp_path / "other"
    assert "reviews:3" in refused(run("copy", "reviews:3", "--to", str(other)))
    assert not other.exists()


def test_what_comes_from_an_oci_registry_is_refused_where_only_signed_versions_are_believed(signed, run, tmp_path):
    assert refused(run("pull", "oci://127.0.0.1:1/reviews:1", "--to", str(tmp_path / "here"))) == (
        "oci://127.0.0.1:1/reviews:1 carries no signature that is read here, and REGISTRY_TRUSTED_KEYS is set; take "
        "the version from its registry, or unset that for a place which you trust"
    )


def test_a_gate_asks_for_the_signatures_of_certain_people(signed, use, run, key, tmp_path):
    use(signing="ci")
    quality, legal = key("quality").public, key("legal").public
    file = tmp_path / "gates.yaml"
    file.write_text(f"signed_by: {{quality: {quality.line}, legal: {legal.line}}}\n")
    assert run("gates", "reviews@production", "--set", str(file))[0] == 0
    assert run("sign", "reviews:2", "--key", str(tmp_path / "keys/quality.pem"))[0] == 0
    code, out, err = run("promote", "reviews:2", "production")
    assert code == 4
    assert [line.split(maxsplit=2) for line in out.splitlines()[1:]] == [
        ["signed_by.legal", "MISSED", f"{legal} has not signed reviews:2"],
        ["signed_by.quality", "passed", f"by {quality}"],
    ]
    assert err.startswith("error: reviews:2 misses signed_by.legal: ")
    assert run("sign", "reviews:2", "--key", str(tmp_path / "keys/legal.pem"))[0] == 0
    assert run("promote", "reviews:2", "production")[0] == 0
    assert last_move(signed, "reviews", "production").number == 2
    file.write_text("signed_by: {quality: hello}\n")
    said = refused(run("gates", "reviews@production", "--set", str(file)))
    assert (
        "signed_by.quality is 'hello': input should be the middle line of the pem file of an ed25519 public key; "
        in said
    )


def test_without_keys_nothing_is_asked_for_and_everything_is_believed(store, publish, run, monkeypatch):
    publish("one")
    trust = open_trust(RegistrySettings())
    assert (trust.signer, trust.trusted) == (None, None)
    assert trust.resolve(store, "reviews").number == 1
    assert list(store.list("signatures/")) == []
    for name in ("REGISTRY_SIGNING_KEY", "REGISTRY_TRUSTED_KEYS"):
        monkeypatch.setenv(name, "")
        assert f"{name} is '': expected a file, or leave it out" in refused(run("list"))
        monkeypatch.delenv(name)
    assert main(["list"]) == 0
