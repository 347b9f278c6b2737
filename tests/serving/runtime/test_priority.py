import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tunewright.serving.runtime.priority import give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a priority is a thread's on Linux alone")


def own():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_gives_way_with_all_that_it_starts_and_no_other_does():
    before = own()
    with ThreadPoolExecutor(1, initializer=give_way) as giving:
        theirs = giving.submit(own).result()
        with giving.submit(ThreadPoolExecutor, 1).result() as started:
            inherited = giving.submit(lambda: started.submit(own).result()).result()
        giving.submit(give_way).result()  # once more is no further
        again = giving.submit(own).result()
    assert theirs == inherited == again == min(19, before + 5)
    assert own() == before
