"""A server that trusts certain keys: what they have not signed changes nothing, whoever may write to the registry."""

import hashlib
import json

import pytest

from tunewright.registry.errors import Untrusted
from tunewright.registry.trust.keys import Signer
from tunewright.registry.trust.trust import Trust
from tunewright.registry.versions.alias import last_move, move, remove
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.latest import yank
from tunewright.registry.versions.record import read_version

CI = Trust(Signer(hashlib.sha256(b"ci").digest()))


def events(capsys, kind):
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [one for one in lines if one["event"] == kind]


@pytest.fixture
def house(make_house, reviews, second, tmp_path, monkeypatch):
    """A house whose reviews:1 is signed, in production by a signed move, and answers; reviews:2 is signed too."""
    (tmp_path / "ci.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{CI.signer.public.line}\n-----END PUBLIC KEY-----\n")
    monkeypatch.setenv("REGISTRY_TRUSTED_KEYS", str(tmp_path / "ci.pem"))
    made = make_house()
    CI.sign(made.store, made.publish(reviews))
    CI.sign(made.store, last_move(made.store, "reviews", "production"))
    CI.sign(made.store, made.publish(second, alias=None))
    made.follower.bring_all()
    return made


def started(house):
    house.follower.bring_all()
    return house


def test_a_move_without_a_signature_changes_nothing_until_it_is_signed(house, capsys):
    moved = move(house.store, "reviews", "production", 2)
    assert (house.step(), house.step(), house.version()) == ("positive", "positive", "reviews:1")
    reason = house.status()["last_failure"]["reason"]
    assert reason.startswith("entry 2 of reviews@production, which points at reviews:2, in ")
    assert "is not signed by a key that is trusted for reviews@production" in reason
    (told,) = events(capsys, "swap_failed")
    assert (told["kept"], told["error"]) == ("reviews:1", "Untrusted")
    assert 'tunewright_swaps_total{model="reviews",outcome="refused"} ' in house.models.meters.page().decode()
    CI.sign(house.store, moved)
    assert (house.step(), house.version()) == ("good", "reviews:2")


def test_a_removal_without_a_signature_is_none(house):
    remove(house.store, "reviews", "production")
    assert (house.step(), house.version()) == ("positive", "reviews:1")
    reason = house.status()["last_failure"]["reason"]
    assert reason.startswith("entry 2 of reviews@production, which lets it point nowhere, in ")


def test_a_server_of_the_latest_passes_over_no_version_but_for_a_signed_yank(make_house, house, capsys):
    said = yank(house.store, read_version(house.store, "reviews", 2), "it swears")
    other = started(make_house("reviews"))
    other.follower.bring_all()
    assert other.version() == "reviews:2"
    (told,) = events(capsys, "registry")
    assert told["level"] == "warning"
    assert told["message"].endswith("which no trusted key has signed: it does not count")
    CI.sign(house.store, said)
    assert started(make_house("reviews")).version() == "reviews:1"


def test_a_version_without_a_signature_does_not_answer_though_its_move_is_signed(house, reviews):
    house.publish({"more": reviews / "model.json", **{path.name: path for path in reviews.glob("*.json")}})
    CI.sign(house.store, last_move(house.store, "reviews", "production"))
    assert (house.step(), house.version()) == ("positive", "reviews:1")
    assert house.status()["last_failure"]["reason"].startswith("reviews:3 in ")


def test_a_canary_without_a_signature_is_not_tried(house, capsys):
    begin(house.store, "reviews", "production", 2, 100)
    assert (house.step(), house.version()) == ("positive", "reviews:1")
    (told,) = events(capsys, "canary_unreadable")
    assert told["message"].startswith(
        "nothing is tried beside reviews@production: entry 1 of what is tried beside reviews@production in "
    )
    CI.sign(house.store, begin(house.store, "reviews", "production", 2, 50))
    house.step()
    assert (house.status()["canary"]["version"], house.status()["canary"]["percent"]) == (2, 50)


def test_a_server_does_not_start_with_what_nobody_has_signed(make_house, house):
    move(house.store, "reviews", "staging", 1)
    with pytest.raises(Untrusted, match=r"^entry 1 of reviews@staging, which points at reviews:1, in .* is not signed"):
        make_house("reviews@staging").follower.bring_all()


def test_a_folder_carries_no_signature(make_house, house, reviews):
    with pytest.raises(
        Untrusted, match=r"^.* carries no signature that is read here, and REGISTRY_TRUSTED_KEYS is set"
    ):
        make_house(f"{reviews}").follower.bring_all()
