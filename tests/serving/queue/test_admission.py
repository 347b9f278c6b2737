"""The bounds on requests and on work in flight."""

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
    monkeypatch.setattr("tunewright.serving.queue.admission.time.monotonic", lambda: now[0])
    admission = Admission(10)
    for _ in range(500):
        now[0] += 1000  # nobody asks
        with admission.slot():
            now[0] += 2
    with admission.slot(), admission.slot(), admission.slot():
        assert admission.retry_after == 6


def test_a_request_that_would_come_too_late_beside_others_is_sent_away():
    load = Load(lambda: 100.0, 10)
    with load.taken(100_000):
        assert load.seconds(400) == 8
        with pytest.raises(Overloaded) as caught, load.taken(400):
            pass
        # Requests take turns: a small one does not wait for the end of a large one.
        with load.taken(20):
            assert load.seconds(20) == 0.6
    assert str(caught.value) == (
        "beside the others that wait the answer would take about 8 s, and a request may take 10 s "
        "(SERVING_LIMITS__DEADLINE_SECONDS); try again in 8 s"
    )
    assert caught.value.retry_after == 8


def test_a_request_that_is_alone_or_of_which_nothing_is_known_yet_is_let_in():
    load = Load(lambda: 100.0, 10)
    with load.taken(1_000_000):
        pass
    unknown = Load(lambda: 0.0, 10)
    with unknown.taken(1_000_000), unknown.taken(1_000_000):
        assert unknown.seconds(1) == 0
