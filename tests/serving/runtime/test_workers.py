import threading

import pytest

from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.workers import Workers


@pytest.fixture
def workers():
    made = Workers(Capacity(threads=2))
    yield made
    made.close()


def test_results_come_in_the_order_of_the_items(workers):
    assert workers.each(lambda number: number * 2, range(20)) == list(range(0, 40, 2))
    assert workers.each(str, []) == []


def test_two_items_are_worked_on_at_once(workers):
    both = threading.Barrier(2, timeout=30)
    workers.each(lambda _: both.wait(), range(2))


def test_a_single_item_needs_no_thread(workers):
    assert workers.each(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]


def test_what_goes_wrong_is_raised(workers):
    with pytest.raises(ZeroDivisionError):
        workers.each(lambda number: 1 // number, range(4))
