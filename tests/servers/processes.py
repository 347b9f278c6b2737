"""Programs that tests start: where they listen, what is waited for, and their end."""

import socket
import subprocess
import time
from contextlib import contextmanager


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(port, process, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen on port {port} after {seconds} s")


@contextmanager
def listening(command, port):
    """A server, whose output is of no interest, from when it listens on the port to its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield
    finally:
        end(process)


def wait_until(happened, process=None, seconds=60):
    """Waits for what a process, or a thread, is about to do."""
    until = time.monotonic() + seconds
    while not happened():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}: {process.communicate()}")
        if time.monotonic() > until:
            raise RuntimeError(f"it did not happen within {seconds} s")
        time.sleep(0.01)


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
