"""A machine that is gone, or a network that is cut: nothing says that an answer will not come, so an exchange waits.

The kernel is asked to look after the connections to other machines: it asks the other one's kernel, which answers
however busy the process there is, so that nobody is given up for being slow.
"""

import os
import socket
import stat
from contextlib import suppress

_IDLE, _APART, _TIMES = 3, 3, 3
"""Seconds until the first question, between two, and how many of them may stay without an answer."""
_UNACKNOWLEDGED = 8_000
"""Milliseconds that what was sent may stay without having arrived."""


def watch_connections() -> int:
    """Have each connection of this process to another machine broken about 12 seconds after that has fallen silent;
    how many there are. Connections that are made later are not among them."""
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - macOS has none
        return 0
    return sum(_watch(int(name)) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208


def _watch(handle: int) -> bool:
    """Whether this is such a connection."""
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            return False
        with socket.socket(fileno=os.dup(handle)) as one:
            if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
                return False
            if one.getpeername()[0] == one.getsockname()[0]:
                return False
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("IDLE", _IDLE), ("INTVL", _APART), ("CNT", _TIMES)):
                one.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"), value)
            with suppress(OSError):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)
            return True
    except OSError:  # a socket that listens, or one that was closed meanwhile
        return False
