"""Ctrl-C and SIGTERM end a job with one sentence and an exit code, whatever it is doing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tunewright.job.errors import Interrupted
from tunewright.registry.command_line import CtrlC

CTRL_C = "stopped by Ctrl-C; nothing half-made is left in the registry"
SIGTERM = "stopped by SIGTERM; nothing half-made is left in the registry, the same job may run again"

NUMBERS = (signal.SIGTERM, signal.SIGINT)
"""The signals that are listened to."""
_asked: BaseException | None = None


def leave_at_once() -> None:
    """While the program is being imported there is nothing to clean up, and what a signal raises there may be lost:
    compiled modules catch whatever an optional import raises."""
    _listen(_leave)


def unwind() -> None:
    """From here on a signal is raised where the program stands, so that what is half-made is removed on the way."""
    _listen(_raise)


@contextmanager
def held() -> Iterator[None]:
    """Have a signal wait for the next `check`, or for the end of this: where an exception would come at a bad moment,
    while more is imported or weights are changed. Where nobody has called `unwind` nothing changes."""
    if signal.getsignal(signal.SIGTERM) is not _raise:
        yield
        return
    _listen(_keep)
    try:
        yield
    finally:
        if _asked is None:
            unwind()
    check()


def check() -> None:
    """Raise again what a signal raised where nobody could catch it, such as in a finalizer."""
    if _asked is not None:
        raise _asked


def is_asked(number: int | None = None) -> bool:
    """Whether a signal has come, or this one."""
    return _asked is not None and (number is None or isinstance(_asked, type(_error(number))))


def ask(number: int) -> None:
    """As if a signal had come that waits for the next `check`: another process of the job has got it."""
    global _asked
    _asked = _asked or _error(number)


def _listen(handler: signal.Handlers | object) -> None:
    for number in NUMBERS:
        signal.signal(number, handler)  # type: ignore[arg-type]


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    sentence, code = (CTRL_C, 130) if signum == signal.SIGINT else (SIGTERM, Interrupted.exit_code)
    os.write(2, f"error: {sentence}\n".encode())
    os._exit(code)


def _keep(signum: int, frame: FrameType | None) -> None:
    global _asked
    _listen(signal.SIG_IGN)
    _asked = _error(signum)


def _raise(signum: int, frame: FrameType | None) -> NoReturn:
    global _asked
    # Once is enough: a second signal must not cut off the cleaning up.
    _listen(signal.SIG_IGN)
    _asked = _error(signum)
    raise _asked


def _error(signum: int) -> BaseException:
    return CtrlC() if signum == signal.SIGINT else Interrupted(SIGTERM)
