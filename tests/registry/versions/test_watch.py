"""Following a reference: one small request while it stays, and no move unseen."""

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move, rollback
from tunewright.registry.versions.layout import trial_key
from tunewright.registry.versions.watch import has_moved, look, look_at_trial, moves


@pytest.fixture
def two(store, publish_version):
    """A store with two versions of `reviews`, the first in production."""
    for number in (1, 2):
        publish_version(store, f"run-{number}")
    move(store, "reviews", "production", 1)
    return store


def test_an_alias_is_seen_to_move_and_to_move_back(two):
    seen = look(two, "reviews@production")
    assert (seen.version.number, has_moved(two, seen)) == (1, False)
    move(two, "reviews", "production", 2)
    assert has_moved(two, seen)
    seen = look(two, "reviews@production")
    assert (seen.version.number, has_moved(two, seen)) == (2, False)
    rollback(two, "reviews", "production")
    assert has_moved(two, seen)
    assert look(two, "reviews@production").version.number == 1


def test_the_latest_version_moves_with_each_that_is_published(two, publish_version):
    seen = look(two, "reviews")
    assert (seen.version.number, has_moved(two, seen)) == (2, False)
    publish_version(two, "run-3")
    assert has_moved(two, seen)
    assert look(two, "models:/reviews/latest").version.number == 3


@pytest.mark.parametrize("pinned", ["reviews:1", "models:/reviews/1", "digest"])
def test_what_is_pinned_never_moves(two, publish_version, pinned):
    reference = f"reviews@{look(two, 'reviews:1').version.digest}" if pinned == "digest" else pinned
    seen = look(two, reference)
    publish_version(two, "run-3")
    move(two, "reviews", "production", 3)
    assert (moves(reference), has_moved(two, seen)) == (False, False)


def test_what_is_not_there_is_told(two):
    with pytest.raises(NotFound, match="there is no alias 'staging' of 'reviews'"):
        look(two, "reviews@staging")


def test_a_canary_that_cannot_be_read_is_none_until_the_next_one(two, write):
    two.upload(trial_key("reviews", "production", 1), write("damaged", b"rubbish"))
    seen = look_at_trial(two, "reviews@production")
    assert (seen.trial, has_moved(two, seen)) == (None, False)
    assert f"{trial_key('reviews', 'production', 1)!r} in {two.uri} is not a valid JSON document" in seen.fault
    two.upload(trial_key("reviews", "production", 2), write("damaged", b"rubbish"))
    assert has_moved(two, seen)


def test_nothing_moved_costs_one_small_request(faulty_uri, faults, publish_version):
    store = open_store(faulty_uri)
    publish_version(store, "run-1")
    move(store, "reviews", "production", 1)
    for reference, record in (("reviews@production", "aliases/production/"), ("reviews", "versions/")):
        seen = look(store, reference)
        faults.requests.clear()
        assert not has_moved(store, seen)
        [(method, path)] = faults.requests
        assert method == "HEAD"
        assert path.endswith(f"models/reviews/{record}00000000000000000002.json")
