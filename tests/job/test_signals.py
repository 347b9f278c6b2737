"""A signal whose exception is lost is raised again at the next check."""

import subprocess
import sys

LOST = """
import signal, sys
from tunewright.job import signals

class Swallows:
    def __del__(self):
        signal.raise_signal(getattr(signal, sys.argv[1]))

signals.unwind()
signals.check()
Swallows()
print("lost")
try:
    signals.check()
except BaseException as error:
    print(type(error).__name__)
"""

ENDED = """
import signal, sys
from tunewright.job import signals
signals.leave_at_once()
try:
    signal.raise_signal(getattr(signal, sys.argv[1]))
except BaseException:
    print("caught")
"""

HELD = """
import signal, sys
from tunewright.job import signals
signals.unwind()
try:
    with signals.held():
        signal.raise_signal(getattr(signal, sys.argv[1]))
        print("imported")
except BaseException as error:
    print(type(error).__name__)
"""

ASKED = """
import signal, sys
from tunewright.job import signals
number = getattr(signal, sys.argv[1])
print(signals.is_asked(), signals.is_asked(number))
signals.ask(number)
print(signals.is_asked(), [signals.is_asked(one) for one in signals.NUMBERS].count(True), signals.is_asked(number))
try:
    signals.check()
except BaseException as error:
    print(type(error).__name__)
"""


def run(program, name):
    return subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=False)


def test_an_exception_that_a_finalizer_lost_is_raised_again():
    assert run(LOST, "SIGINT").stdout == "lost\nCtrlC\n"
    assert run(LOST, "SIGTERM").stdout == "lost\nInterrupted\n"


def test_before_there_is_anything_to_clean_up_nobody_can_catch_it():
    done = run(ENDED, "SIGINT")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: stopped by Ctrl-C; nothing half-made is left in the registry\n"
    assert run(ENDED, "SIGTERM").returncode == 75


def test_a_signal_waits_while_more_is_imported():
    assert run(HELD, "SIGINT").stdout == "imported\nCtrlC\n"
    assert run(HELD, "SIGTERM").stdout == "imported\nInterrupted\n"


def test_a_signal_of_another_process_is_as_if_it_had_come_here():
    for name, error in (("SIGTERM", "Interrupted"), ("SIGINT", "CtrlC")):
        assert run(ASKED, name).stdout.splitlines() == ["False False", "True 1 True", error]
