"""What is signed, in which form, and what is no signature of it."""

import base64
import json
from dataclasses import replace

import pytest

from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.store import open_store
from tunewright.registry.trust.signature import (
    carry,
    envelope_fault,
    of_move,
    of_trial,
    of_version,
    sign,
    signer_of,
    signers,
)
from tunewright.registry.versions.alias import Gate, Verdict, last_move, move
from tunewright.registry.versions.canary import begin, last_trial
from tunewright.registry.versions.layout import is_signature, signature_key
from tunewright.registry.versions.record import Version


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "registry"))


VERSION = Version("reviews", 8, f"sha256:{'a' * 64}", "run-8", "2026-11-27T12:00:00Z", 9, previous=f"sha256:{'b' * 64}")


def test_the_statement_about_a_version_is_frozen():
    assert of_version(VERSION).payload.decode() == (
        '{"_type":"https://in-toto.io/Statement/v1","predicate":{"name":"reviews","number":8,"previous":"sha256:'
        f'{"b" * 64}"}},"predicateType":"urn:tunewright:signed:version:1","subject":[{{"digest":{{"sha256":"{"a" * 64}'
        '"},"name":"reviews:8"}]}'
    )


def test_the_envelope_is_dsse(store, key):
    signer = key("ci")
    statement = of_version(VERSION)
    sign(store, statement, signer)
    (place,) = [stat.key for stat in store.list("signatures/")]
    assert place == signature_key("reviews", statement.digest, signer.public.id)
    assert is_signature(place)
    envelope = json.loads(store.read(place))
    assert base64.b64decode(envelope["payload"]) == statement.payload
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    (one,) = envelope["signatures"]
    assert one["keyid"] == signer.public.id
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(statement.payload), statement.payload)
    assert signer.public.has_signed(signed, base64.b64decode(one["sig"]))
    # Not over the payload alone: what was signed for another purpose is no signature of ours.
    assert not signer.public.has_signed(statement.payload, base64.b64decode(one["sig"]))
    assert envelope_fault(store, place) is None


@pytest.mark.parametrize(
    "other",
    [
        {"name": "topics"},
        {"number": 9},
        {"digest": f"sha256:{'c' * 64}"},
        {"previous": None},
        {"previous": f"sha256:{'c' * 64}"},
    ],
)
def test_a_signature_is_of_no_other_name_number_bytes_or_predecessor(store, key, other):
    signer = key("ci")
    sign(store, of_version(VERSION), signer)
    assert signer_of(store, of_version(VERSION), [signer.public]) == (signer.public, [])
    statement = of_version(replace(VERSION, **other))
    assert signer_of(store, statement, [signer.public]) == (None, [])
    # Nor where somebody puts it where that of the other would lie.
    (stat,) = store.list("signatures/")
    store.create(signature_key(statement.name, statement.digest, signer.public.id), store.read(stat.key))
    found, (fault,) = signer_of(store, statement, [signer.public])
    assert found is None
    assert fault.endswith(f"is no signature that the key {signer.public} has made of {statement.what}")


def test_a_move_and_a_canary_are_signed_with_all_that_their_entries_say(store, key, publish_version):
    signer = key("ci")
    for run in ("one", "two"):
        publish_version(store, run)
    verdict = Verdict(1, None, (Gate("max_overlap", True, "0 rows", found=0, asked=0),))
    made = move(store, "reviews", "production", 1, verdict=verdict)
    trial = begin(store, "reviews", "production", 2, 10)
    # As they are read again, whatever kind of number was given.
    assert of_move(made) == of_move(last_move(store, "reviews", "production"))
    assert of_trial(trial) == of_trial(last_trial(store, "reviews", "production"))
    statements = [of_move(made), of_move(replace(made, reason="another")), of_trial(trial)]
    statements += [of_trial(replace(trial, percent=90.0)), of_move(replace(made, number=2))]
    assert len({one.digest for one in statements}) == 5
    sign(store, statements[0], signer)
    assert [signer_of(store, one, [signer.public])[0] is None for one in statements] == [False, True, True, True, True]


def test_any_of_several_keys_will_do_and_each_lies_beside_the_others(store, key):
    old, new, other = key("old"), key("new"), key("other")
    sign(store, of_version(VERSION), old)
    keys = [old.public, new.public]
    assert signer_of(store, of_version(VERSION), keys)[0] == old.public
    assert signer_of(store, of_version(VERSION), [new.public]) == (None, [])
    sign(store, of_version(VERSION), new)
    sign(store, of_version(VERSION), new)
    assert signer_of(store, of_version(VERSION), [new.public])[0] == new.public
    assert signer_of(store, of_version(VERSION), [other.public]) == (None, [])
    assert sorted(signers(store, of_version(VERSION))) == sorted([old.public.id, new.public.id])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"[]",
        lambda data: data.replace(b"in-toto", b"in-tata"),
        lambda data: data.replace(b'"sig":"', b'"sig":"!'),
        lambda data: data.replace(b'"sig"', b'"gis"'),
        lambda data: json.dumps(json.loads(data) | {"signatures": 7}).encode(),
    ],
)
def test_a_damaged_signature_is_none_and_is_told(store, key, spoil):
    signer, statement = key("ci"), of_version(VERSION)
    sign(store, statement, signer)
    (stat,) = store.list("signatures/")
    data = store.read(stat.key)
    store.delete(stat.key)
    store.create(stat.key, spoil(data))
    found, (fault,) = signer_of(store, statement, [signer.public])
    assert (found, repr(stat.key) in fault) == (None, True)
    assert envelope_fault(store, stat.key) is not None
    # It is written anew, and what is whole is not.
    sign(store, statement, signer)
    assert store.read(stat.key) == data
    assert signer_of(store, statement, [signer.public]) == (signer.public, [])


def test_a_signature_that_stays_damaged_is_named_with_what_to_do(store, key, monkeypatch):
    """As where what was written is not what is read back."""
    signer, statement = key("ci"), of_version(VERSION)
    place = signature_key("reviews", statement.digest, signer.public.id)
    store.create(place, b"{}")
    monkeypatch.setattr(type(store), "upload", lambda *_, **__: None)
    with pytest.raises(CorruptObject) as raised:
        sign(store, statement, signer)
    assert str(raised.value) == (
        f"{place!r} in {store.uri} is not a DSSE envelope of an in-toto statement; remove {place!r} with the tools of "
        "the store, and sign again"
    )


def test_a_signature_of_somebody_else_is_no_signature_of_a_key(store, key):
    """Forged: by a key that nobody trusts, under the id of one that is trusted."""
    signer, forger, statement = key("ci"), key("forger"), of_version(VERSION)
    sign(store, statement, forger)
    (stat,) = store.list("signatures/")
    forged = store.read(stat.key).replace(forger.public.id.encode(), signer.public.id.encode())
    store.create(signature_key("reviews", statement.digest, signer.public.id), forged)
    found, (fault,) = signer_of(store, statement, [signer.public])
    assert found is None
    assert fault.endswith(f"is no signature that the key {signer.public} has made of reviews:8")


def test_a_copy_takes_along_what_is_so_of_it_too(store, key, tmp_path):
    target = open_store(str(tmp_path / "other"))
    sign(store, of_version(VERSION), key("ci"))
    assert carry(store, VERSION, target, replace(VERSION, number=1)) == 0
    assert list(target.list("signatures/")) == []
    assert carry(store, VERSION, target, replace(VERSION, created="2026-11-28T12:00:00Z")) == 1
    assert signer_of(target, of_version(VERSION), [key("ci").public])[0] == key("ci").public


def test_the_place_of_a_signature_is_told_from_others():
    good = signature_key("reviews", "a" * 64, "b" * 64)
    assert is_signature(good)
    for bad in (good.upper(), good[:-1], good.replace("reviews", "-"), f"x{good}", good.replace("b" * 64, "b" * 63)):
        assert not is_signature(bad)
