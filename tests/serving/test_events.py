"""What the server says of itself."""

import io
import json
import logging
import sys

import pytest

from tunewright.serving.events import capture_logging, emit


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logging_restored():
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    yield
    root.level, root.handlers[:] = before


def test_a_line_is_one_json_object_where_nobody_reads(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    emit("loaded", "loaded\nreviews:1", model="reviews:1")
    (line,) = sys.stderr.getvalue().splitlines()
    content = json.loads(line)
    assert content.pop("time").endswith("Z")
    assert content == {"level": "info", "event": "loaded", "message": "loaded\nreviews:1", "model": "reviews:1"}


def test_a_line_is_for_people_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    emit("loaded", "loaded reviews:1", model="reviews:1")
    assert sys.stderr.getvalue() == "loaded reviews:1\n"
    emit("failed", "there is no such model", level="error")
    assert sys.stderr.getvalue() == "loaded reviews:1\nerror: there is no such model\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_an_error_of_a_library_becomes_an_event_with_its_traceback(monkeypatch, logging_restored, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    capture_logging()
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        logging.getLogger("library").exception("it broke")
    assert "it broke" in sys.stderr.getvalue()
    assert "Traceback" in sys.stderr.getvalue()


def test_what_libraries_tell_by_the_way_is_left_out(monkeypatch, logging_restored):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    capture_logging()
    logging.getLogger("library").info("by the way")
    assert sys.stderr.getvalue() == ""
