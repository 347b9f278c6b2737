"""Which threads come first: those that read requests and answer them come before those that compute."""

import contextlib
import os
import sys
import threading

_STEP = 5
"""Each step is about a quarter less of a processor that several want, so this is a third."""


def give_way() -> None:
    """From now on the calling thread computes with what others of this process leave, and so do threads it starts.

    Otherwise a refusal, or an answer that is there, waits for a processor as long as those that compute hold it. There
    is no way back: only a privileged program may raise a priority again.
    """
    if sys.platform != "linux":  # elsewhere a priority is the process's
        return
    thread = threading.get_native_id()
    wanted = min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + _STEP)
    with contextlib.suppress(OSError):  # where a sandbox forbids it, all are equal
        os.setpriority(os.PRIO_PROCESS, thread, max(wanted, os.getpriority(os.PRIO_PROCESS, thread)))
