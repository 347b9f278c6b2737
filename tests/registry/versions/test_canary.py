"""Trials: what is tried beside an alias, until the alias moves."""

import pytest

from tunewright.registry.errors import BadReference, Conflict, NotFound
from tunewright.registry.versions.alias import move, rollback
from tunewright.registry.versions.canary import begin, end, last_trial, running
from tunewright.registry.versions.watch import has_moved, look_at_trial


@pytest.fixture
def two(store, publish_version):
    """A store with two versions of `reviews`, the first in production."""
    for number in (1, 2):
        publish_version(store, f"run-{number}")
    move(store, "reviews", "production", 1)
    return store


def test_a_trial_has_its_share_until_it_ends(two):
    assert running(two, "reviews", "production") is None
    made = begin(two, "reviews", "production", 2, 10, reason="smaller")
    assert (made.weights, made.reason) == ({1: 90, 2: 10}, "smaller")
    assert begin(two, "reviews", "production", 2, 10) == running(two, "reviews", "production") == made
    assert begin(two, "reviews", "production", 2, 50).weights == {1: 50, 2: 50}
    ended = end(two, "reviews", "production")
    assert (ended.weights, running(two, "reviews", "production")) == ({1: 100}, None)
    assert end(two, "reviews", "production") is None
    assert last_trial(two, "reviews", "production").entry == 3


def test_a_trial_is_over_once_the_alias_moves_and_does_not_come_back_with_it(two):
    begin(two, "reviews", "production", 2, 10)
    move(two, "reviews", "production", 2)
    assert running(two, "reviews", "production") is None
    rollback(two, "reviews", "production")
    assert running(two, "reviews", "production") is None


def test_a_change_is_seen_with_one_request(two):
    seen = look_at_trial(two, "reviews@production")
    assert (seen.trial, has_moved(two, seen)) == (None, False)
    begin(two, "reviews", "production", 2, 10)
    assert has_moved(two, seen)
    seen = look_at_trial(two, "reviews@production")
    assert (seen.trial.number, has_moved(two, seen)) == (2, False)
    assert look_at_trial(two, "reviews") is None


@pytest.mark.parametrize(
    ("number", "percent", "kind", "sentence"),
    [
        (1, 10, Conflict, "reviews@production points at version 1: there is nothing to try beside it"),
        (3, 10, NotFound, "there is no version 3 of 'reviews' in .*; there is 1 to 2"),
        (2, 0, BadReference, "0 is not a percentage of the requests; expected more than 0, and at most 100"),
        (2, float("nan"), BadReference, "nan is not a percentage of the requests; expected more than 0"),
    ],
)
def test_what_cannot_be_tried_is_refused(two, number, percent, kind, sentence):
    with pytest.raises(kind, match=sentence):
        begin(two, "reviews", "production", number, percent)
    with pytest.raises(NotFound, match="there is no alias 'staging' of 'reviews'"):
        begin(two, "reviews", "staging", 2, 10)
