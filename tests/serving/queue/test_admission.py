"""The bounds on requests and on work in flight."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from tunewright.serving.errors import Overloaded
from tunewright.serving.queue.admission import Admission, Load


def test_one_request_too_many_is_sent_away_with_the_limit_and_the_wait():
    admission = Admission(1)
    with admission.slot(), pytest.raises(Overloaded) as caught, admission.slot():
        pass
    assert str(caught.value) == (
        "1 requests are in flight, the limit of this server; try again in 1 s (SERVING_LIMITS__REQUESTS)"
    )
    assert caught.value.retry_after == 1


def test_a_slot_is_free_again_after_a_failure():
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission.slot():
        raise ZeroDivisionError
    with admission.slot():
        assert admission.in_flight == 1
    assert admission.in_flight == 0


def test_the_wait_is_for_those_in_flight_as_long_as_they_have_lately_taken(monkeypatch):
    now = [0.0]
    # Not of the module itself, by which servers of other tests in this process wait.
    monkeypatch.setattr("tunewright.serving.queue.admission.time", SimpleNamespace(monotonic=lambda: now[0]))
    admission = Admission(10)
    for _ in range(500):
        now[0] += 1000  # nobody asks
        with admission.slot():
            now[0] += 2
    with admission.slot(), admission.slot(), admission.slot():
        assert admission.retry_after == 6


def load_of(rate, *, queue_seconds=0.5, deadline_seconds=30):
    return Load(lambda: rate, queue_seconds=queue_seconds, deadline_seconds=deadline_seconds)


def test_a_request_that_would_wait_too_long_for_others_is_sent_away():
    load = load_of(1000)
    with ExitStack() as held:
        for _ in range(129):
            held.enter_context(load.taken([10]))
        assert load.seconds(10) == 1.29
        with pytest.raises(Overloaded) as caught, load.taken([10]):
            pass
    assert str(caught.value) == (
        "129 others wait, and the answer would take about 2 s because of them, which is too long "
        "(SERVING_LIMITS__QUEUE_SECONDS); try again in 2 s"
    )
    assert caught.value.retry_after == 2
    assert load.seconds(10) == 0


def test_the_faster_a_model_is_the_more_may_wait():
    load = load_of(10_000)
    with ExitStack() as held:
        for _ in range(500):
            held.enter_context(load.taken([10]))
        with pytest.raises(Overloaded), load.taken([1]), load.taken([1]):
            pass


def test_no_request_waits_for_half_of_the_deadline():
    load = load_of(100, deadline_seconds=10)
    with load.taken([100] * 1000):
        with pytest.raises(Overloaded) as caught, load.taken([501]):
            pass
        with load.taken([400]):
            assert load.seconds(20) == 5
    assert str(caught.value) == (
        "1 others wait, and the answer would take about 6 s because of them, which is too long "
        "(SERVING_LIMITS__DEADLINE_SECONDS); try again in 6 s"
    )


def test_a_small_request_waits_for_a_turn_of_each_other_one_and_not_for_its_end():
    load = load_of(1000)
    with load.taken([30] * 64), load.taken([10]), load.taken([10_000]):
        assert load.seconds(5) == (30 + 10 + 512) / 1000
        assert load.seconds(600) == (600 + 10 + 600) / 1000


def test_a_request_that_is_alone_or_of_which_nothing_is_known_yet_is_let_in():
    with load_of(100).taken([1_000_000]):
        pass
    unknown = load_of(0)
    with unknown.taken([1_000_000]), unknown.taken([1_000_000]):
        assert unknown.seconds(1) == 0
