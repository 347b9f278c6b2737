"""The bound on requests in flight."""

import pytest

from tunewright.serving.errors import Overloaded
from tunewright.serving.queue.admission import Admission


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


def test_the_wait_is_what_requests_have_lately_taken(monkeypatch):
    clock = iter(float(second) for second in range(0, 10_000, 7))
    monkeypatch.setattr("tunewright.serving.queue.admission.time.monotonic", lambda: next(clock))
    admission = Admission(1)
    for _ in range(100):
        with admission.slot():
            pass
    assert admission.retry_after == 7
