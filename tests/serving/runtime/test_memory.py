import threading

import pytest

from tunewright.serving.runtime.memory import Memory


def test_who_wants_more_than_is_free_waits():
    memory, order = Memory(10), []
    begun = threading.Event()

    def second():
        begun.set()
        with memory.taken(6):
            order.append("second")

    thread = threading.Thread(target=second)
    with memory.taken(6):
        thread.start()
        begun.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_what_fits_beside_another_does_not_wait():
    memory = Memory(10)
    with memory.taken(6), memory.taken(4):
        pass


def test_more_than_all_of_it_goes_alone():
    memory = Memory(10)
    with memory.taken(1000):
        pass


def test_it_is_given_back_whatever_happens():
    memory = Memory(10)
    with pytest.raises(ZeroDivisionError), memory.taken(10):
        raise ZeroDivisionError
    with memory.taken(10):
        pass
