"""A trial as its parent sees it: a child is started, and what it says or how it ends is the verdict."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tunewright.serving.errors import BundleError
from tunewright.serving.trial.bounds import Bounds
from tunewright.serving.trial.verdicts import Verdict

_WALL = 12
"""Wall seconds for each of processor time: other programs run, too."""
_ANSWER = 1 << 20
"""Bytes of a verdict that are read."""
_RUNNING: set["subprocess.Popen[bytes]"] = set()


def tried(kind: str, arguments: Sequence[str], what: str, bounds: Bounds, given: str = "") -> Verdict:
    """The verdict of a child; BundleError for anything but a good one."""
    limits = [str(bounds.cpu_seconds), str(bounds.memory)]
    command = [sys.executable, "-m", "tunewright.serving.trial.child", kind, *limits, *arguments]
    # The child finds this package where this process found it, and nothing of the caller's folder.
    paths = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    child = subprocess.Popen(  # noqa: S603 - the command is this program's own
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
    )
    said, complained = _ended(child, given, what, bounds)
    if child.returncode == -signal.SIGXCPU:
        raise BundleError(_too_long(what, bounds))
    found = _read(said)
    if found is None:
        raise BundleError(f"{what} cannot be used: {_end(child.returncode, complained, bounds)}")
    if "refused" in found:
        raise BundleError(str(found["refused"]))
    if "fault" in found:
        raise BundleError(f"{what} cannot be used: {found['fault']}")
    return found


def end_trials() -> None:
    """End those that run: this program ends, and nobody waits for a verdict."""
    for child in tuple(_RUNNING):
        child.kill()


def _ended(child: "subprocess.Popen[bytes]", given: str, what: str, bounds: Bounds) -> tuple[bytes, bytes]:
    """What a child has written, once it has come to its end."""
    _RUNNING.add(child)
    try:
        return child.communicate(given.encode(), timeout=bounds.cpu_seconds * _WALL)
    except subprocess.TimeoutExpired as error:
        raise BundleError(_too_long(what, bounds)) from error
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
        _RUNNING.discard(child)


def _read(answer: bytes) -> Verdict | None:
    try:
        found = json.loads(answer[-_ANSWER:].splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) else None


def _end(code: int, said: bytes, bounds: Bounds) -> str:
    """Why a child ended without a word: what the runtimes of Rust and C++ write where an allocation fails."""
    if any(words in said for words in (b"memory allocation of", b"bad_alloc", b"cannot allocate memory")):
        return bounds.too_large
    if code == -signal.SIGKILL:
        return "the program that tried it was killed, as the system does where the machine's memory runs out"
    return f"it broke off the program that tried it (exit code {code})"


def _too_long(what: str, bounds: Bounds) -> str:
    return (
        f"{what} did not come to an end within {bounds.cpu_seconds:.0f} s of processor time: it is a program that "
        "never does, or one that is far too slow"
    )
