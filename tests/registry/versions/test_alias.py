"""Aliases: a linear history, no lost move, and a way back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tunewright.registry.errors import Conflict, CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import aliases, current, history, move, remove, rollback
from tunewright.registry.versions.layout import move_key


@pytest.fixture
def three(store, publish_version):
    """A store with three versions of `reviews`."""
    for number in (1, 2, 3):
        publish_version(store, f"run-{number}")
    return store


def test_an_alias_points_where_it_was_moved(three):
    made = move(three, "reviews", "production", 2, reason="better on short texts")
    assert (made.entry, made.number, made.previous, made.reason) == (1, 2, None, "better on short texts")
    assert current(three, "reviews", "production") == 2
    assert aliases(three, "reviews") == {"production": 2}


def test_moving_to_the_same_version_twice_is_one_move(three):
    assert move(three, "reviews", "production", 2) == move(three, "reviews", "production", 2)
    assert len(history(three, "reviews", "production")) == 1


def test_every_move_names_the_version_before(three):
    for number in (1, 2, 3):
        move(three, "reviews", "production", number)
    moves = [(entry.entry, entry.previous, entry.number) for entry in history(three, "reviews", "production")]
    assert moves == [(1, None, 1), (2, 1, 2), (3, 2, 3)]


def test_a_late_job_does_not_undo_a_newer_one(three):
    move(three, "reviews", "production", 3)
    with pytest.raises(Conflict) as error:
        move(three, "reviews", "production", 2)
    assert str(error.value) == (
        "reviews@production points at version 3, which is newer than 2; "
        "to go back on purpose roll back reviews@production, or force the move"
    )
    assert move(three, "reviews", "production", 2, force=True).previous == 3


def test_rollback_goes_back_one_move_each_time(three):
    for number in (1, 2, 3):
        move(three, "reviews", "production", number)
    assert [rollback(three, "reviews", "production").number for _ in range(2)] == [2, 1]
    assert [entry.kind for entry in history(three, "reviews", "production")] == ["move"] * 3 + ["rollback"] * 2
    with pytest.raises(Conflict, match="reviews@production has nothing to go back to: 1 is the first version it"):
        rollback(three, "reviews", "production")


def test_a_move_after_a_rollback_can_be_rolled_back_too(three):
    move(three, "reviews", "production", 1)
    move(three, "reviews", "production", 2)
    rollback(three, "reviews", "production")
    move(three, "reviews", "production", 3)
    assert rollback(three, "reviews", "production").number == 1


def test_an_alias_cannot_point_at_what_is_not_there(three):
    with pytest.raises(NotFound, match=r"there is no version 4 of 'reviews' in .*; there is 1 to 3"):
        move(three, "reviews", "production", 4)
    with pytest.raises(NotFound, match=r"there is no alias 'production' of 'reviews' in .*; there is only 'latest'"):
        current(three, "reviews", "production")
    with pytest.raises(NotFound, match=r"there is no model 'other' in .*; there are reviews"):
        rollback(three, "other", "production")


def test_racing_movers_make_one_linear_history(s3_uri, publish_version):
    for number in range(1, 9):
        publish_version(open_store(s3_uri), f"run-{number}")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: move(open_store(s3_uri), "reviews", "prod", n, force=True), range(1, 9)))
    log = history(open_store(s3_uri), "reviews", "prod")
    assert [entry.entry for entry in log] == list(range(1, 9))
    assert sorted(entry.number for entry in log) == list(range(1, 9))
    assert [entry.previous for entry in log] == [None, *(entry.number for entry in log[:-1])]


def test_a_move_whose_answer_was_lost_is_made_once(faulty_uri, faults, publish_version):
    store = open_store(faulty_uri)
    publish_version(store, "run-1")
    fault = faults.inject("lose", "PUT", "aliases/")
    move(store, "reviews", "production", 1)
    assert fault.seen == 1
    assert len(history(store, "reviews", "production")) == 1


def test_a_damaged_move_is_refused_not_followed(three, write):
    move(three, "reviews", "production", 1)
    key = move_key("reviews", "production", 1)
    three.upload(key, write("entry", three.read(key).replace(b'"number":1', b'"number":2')))
    with pytest.raises(CorruptObject, match=r"00001.json' in .* was changed or damaged"):
        current(three, "reviews", "production")


def test_a_move_of_another_alias_is_refused(three, write):
    move(three, "reviews", "production", 1)
    entry = three.read(move_key("reviews", "production", 1))
    three.upload(move_key("reviews", "staging", 1), write("entry", entry))
    with pytest.raises(CorruptObject, match="is entry 1 of reviews@production, not of this log"):
        current(three, "reviews", "staging")


def test_a_job_that_is_late_or_tried_again_undoes_no_rollback(three, publish_version):
    for number in (1, 2, 3):
        made = move(three, "reviews", "production", number, run_id=f"run-{number}")
        assert (made.run_id, made.highest) == (f"run-{number}", number)
    assert move(three, "reviews", "production", 3, run_id="run-3") == made
    rollback(three, "reviews", "production")
    log = history(three, "reviews", "production")
    for number, sentence in {
        1: "reviews@production stays at reviews:2, which is newer than reviews:1",
        3: (
            "reviews@production stays at reviews:2: it was taken back from reviews:3, and a job only moves it to newer "
            "ones; `tunewright promote reviews:3 production` moves it"
        ),
    }.items():
        with pytest.raises(Conflict) as error:
            move(three, "reviews", "production", number, run_id=f"run-{number}")
        assert str(error.value) == sentence
    assert history(three, "reviews", "production") == log
    publish_version(three, "run-4")
    assert move(three, "reviews", "production", 4, run_id="run-4").previous == 2
    rollback(three, "reviews", "production")
    assert move(three, "reviews", "production", 3).number == 3, "a person may"
    assert move(three, "reviews", "production", 2, run_id="run-2", force=True).number == 2


@pytest.fixture
def moved(three):
    """The same with production at 1, 2 and 3, one after the other."""
    for number in (1, 2, 3):
        move(three, "reviews", "production", number)
    return three


def test_a_rollback_from_a_holder_is_safe_to_repeat(moved):
    made = rollback(moved, "reviews", "production", holder=3)
    assert (made.previous, made.number) == (3, 2)
    assert rollback(moved, "reviews", "production", holder=3) == made
    assert len(history(moved, "reviews", "production")) == 4
    with pytest.raises(Conflict) as error:
        rollback(moved, "reviews", "production", holder=1)
    assert str(error.value) == (
        "reviews@production points at version 2, not at 1: nothing was moved; "
        "`tunewright history reviews@production` tells what has"
    )


def test_a_rollback_to_a_version_is_safe_to_repeat_and_goes_where_it_has_been(moved, publish_version):
    made = rollback(moved, "reviews", "production", to=1)
    assert (made.previous, made.number) == (3, 1)
    assert rollback(moved, "reviews", "production", to=1) == made
    publish_version(moved, "run-4")
    with pytest.raises(Conflict) as error:
        rollback(moved, "reviews", "production", to=4)
    assert str(error.value) == (
        "reviews@production has never pointed at version 4, but at 1, 2, 3; promote reviews:4 instead"
    )
    with pytest.raises(Conflict, match="has nothing to go back to: 1 is the first version it pointed at"):
        rollback(moved, "reviews", "production")
    move(moved, "reviews", "production", 4)
    assert rollback(moved, "reviews", "production").number == 1


def test_a_removed_alias_points_nowhere_until_it_comes_back(moved):
    removed = remove(moved, "reviews", "production", reason="no longer offered")
    assert remove(moved, "reviews", "production") == removed
    assert aliases(moved, "reviews") == {}
    with pytest.raises(NotFound, match=r"there is no alias 'production' of 'reviews' in .*; there is only 'latest'"):
        current(moved, "reviews", "production")
    with pytest.raises(Conflict, match="reviews@production points nowhere, not at 3: nothing was moved"):
        rollback(moved, "reviews", "production", holder=3)
    with pytest.raises(Conflict, match="reviews@production points nowhere: it was taken back from reviews:3"):
        move(moved, "reviews", "production", 3, run_id="run-3")
    assert [rollback(moved, "reviews", "production").number for _ in range(2)] == [3, 2]
    remove(moved, "reviews", "production")
    made = move(moved, "reviews", "production", 1)
    assert (made.previous, made.entry, made.highest) == (None, 8, 3)
    with pytest.raises(NotFound, match="there is no alias 'staging' of 'reviews'"):
        remove(moved, "reviews", "staging")
