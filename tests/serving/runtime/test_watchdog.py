"""One thread for all deadlines."""

import threading
import time

from tunewright.serving.runtime.watchdog import Watchdog

PATIENCE = 30


def called_at(dog, seconds):
    """An event that is set once the time is there."""
    event = threading.Event()
    dog.watch(event.set, time.monotonic() + seconds)
    return event


def test_what_is_watched_is_called_at_its_time():
    begun = time.monotonic()
    assert called_at(Watchdog(), 0.1).wait(PATIENCE)
    assert time.monotonic() - begun >= 0.1


def test_a_time_that_is_over_is_there_at_once():
    assert called_at(Watchdog(), -1).wait(PATIENCE)


def test_an_earlier_deadline_does_not_wait_for_one_that_was_there_before():
    dog = Watchdog()
    late = called_at(dog, 3600)
    assert called_at(dog, 0.05).wait(PATIENCE)
    assert not late.is_set()


def test_a_later_deadline_is_met_after_the_earlier_one_was_let_go():
    dog, gone = Watchdog(), threading.Event()
    dog.watch(gone.set, time.monotonic() + 0.05)
    dog.let_go(gone.set)
    assert called_at(dog, 0.1).wait(PATIENCE)
    assert not gone.is_set()


def test_what_comes_after_an_idle_time_is_watched_too():
    dog = Watchdog()
    for _ in range(3):
        assert called_at(dog, 0.02).wait(PATIENCE)


def test_letting_go_twice_or_too_late_is_nothing():
    dog = Watchdog()
    event = called_at(dog, 0)
    assert event.wait(PATIENCE)
    dog.let_go(event.set)
    dog.let_go(event.set)


def test_a_thousand_deadlines_take_one_thread():
    dog, before = Watchdog(), threading.active_count()
    events = [called_at(dog, 0.1) for _ in range(1000)]
    assert threading.active_count() <= before + 1
    assert all(event.wait(PATIENCE) for event in events)
