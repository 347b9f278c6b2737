"""What is on its way to a tracker: in order, beside the job, and with no harm to it."""

import threading

from tunewright.job.progress.courier import Courier


def fails():
    raise ConnectionError("no server at 127.0.0.1:5000\nsecond line")


def test_parcels_arrive_in_their_order():
    told = []
    courier = Courier("list", lambda: told)
    for number in range(50):
        courier.give(lambda tracker, number=number: tracker.append(number))
    courier.end("finished", seconds=60)
    assert told[:50] == list(range(50))


def test_a_tracker_that_cannot_begin_is_told_of_once():
    courier = Courier("down", fails)
    courier.end("failed", seconds=60)
    assert courier.fault() == "ConnectionError: no server at 127.0.0.1:5000"
    assert courier.fault() == ""


def test_what_takes_too_long_is_not_waited_for():
    stopped = threading.Event()
    courier = Courier("slow", lambda: stopped)
    courier.give(lambda tracker: tracker.wait(60))
    courier.end("stopped", seconds=0.01)
    assert courier.fault() == "not all was delivered within 0.01 seconds"
    stopped.set()
