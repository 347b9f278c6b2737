"""What the job says: lines on a terminal, one JSON object an event elsewhere."""

import json

import pytest
from rich.console import Console
from rich.table import Table

from tunewright.job.progress import console, json_lines
from tunewright.job.progress.events import Done, bar, listening, quiet, recorded, repeat, say, show_table, warn


@pytest.fixture
def terminal(monkeypatch):
    """The job believes that it writes to a terminal."""
    monkeypatch.setattr(console, "_console", Console(highlight=False, emoji=False, force_terminal=True, width=80))


def events(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_one_json_object(capsys):
    say("data", "train: 7 rows\nfrom a.csv", rows=7)
    warn("data", "ünusual")
    said, warned = events(capsys)
    assert said.pop("time").endswith("Z")
    assert said == {"level": "info", "event": "data", "message": "train: 7 rows\nfrom a.csv", "rows": 7}
    assert (warned["level"], warned["message"]) == ("warning", "ünusual")


def test_a_recording_goes_on_after_one_that_has_heard_the_same():
    with recorded() as outer:
        with recorded() as inner:
            say("data", "one")
        say("data", "two")
    assert [one.text for one in inner] == ["one"]
    assert [one.text for one in outer] == ["one", "two"]


def test_who_is_quiet_says_nothing_and_still_records_it(capsys):
    with quiet(), recorded() as said, bar("train", 3) as advance:
        say("data", "one")
        warn("split", "two")
        advance(1, loss=0.5)
    assert [one.text for one in said] == ["one", "two"]
    assert capsys.readouterr().out == ""


def test_what_was_said_can_be_said_again(capsys):
    with recorded() as said:
        say("data", "one", rows=1)
        warn("split", "two")
    warn("split", "three")
    first = [{**event, "time": ""} for event in events(capsys)]
    repeat(said)
    assert [{**event, "time": ""} for event in events(capsys)] == first[:2]


def test_no_text_of_the_data_can_break_a_line(capsys):
    say("split", "labels: \ud800\x1b[2J é")
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["message"] == "labels: \ud800\x1b[2J é"


def test_a_bar_is_silent_where_it_is_short(capsys):
    with bar("encode", 10) as advance:
        advance(10)
    assert events(capsys) == []


def test_a_long_bar_tells_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(json_lines, "_EVERY", 0.0)
    with bar("encode", 10) as advance:
        advance(4)
        advance(6, loss=0.5)
    assert [(event["done"], event["total"], event.get("loss")) for event in events(capsys)] == [
        (4, 10, None),
        (10, 10, 0.5),
    ]


def test_a_terminal_gets_lines_to_read(capsys, terminal):
    say("data", "7 rows [bold] :smile:")
    warn("data", "careful")
    out = capsys.readouterr().out
    assert "7 rows [bold] :smile:" in out
    assert "warning:" in out
    assert "{" not in out


def test_no_text_of_the_data_can_move_the_cursor(capsys, terminal):
    say("split", "labels: \x1b[2J\x07 é 中")
    assert "labels: \ufffd[2J\ufffd é 中" in capsys.readouterr().out


def test_a_bar_on_a_terminal_shows_its_facts(capsys, terminal):
    with bar("train", 10) as advance:
        advance(10, loss=0.123456, epoch="2/3")
    out = capsys.readouterr().out
    assert "10/10" in out
    assert "loss 0.1235  epoch 2/3" in out


def test_the_end_is_a_table_on_a_terminal_and_an_event_elsewhere(capsys, monkeypatch):
    table = Table("variant")
    table.add_row("fp32")
    show_table(table, "done", "reviews:1 is registered", version=1)
    (event,) = events(capsys)
    assert (event["event"], event["version"]) == ("done", 1)
    monkeypatch.setattr(console, "_console", Console(force_terminal=True, width=80))
    show_table(table, "done", "reviews:1 is registered", version=1)
    assert "fp32" in capsys.readouterr().out


class Ears:
    """What a listener was told."""

    def __init__(self):
        self.told = []

    def hear(self, said):
        self.told.append(said.text)

    def see(self, done):
        self.told.append(done)


def test_who_listens_hears_what_is_shown_and_nothing_else():
    ears = Ears()
    say("data", "before")
    with listening(ears):
        say("data", "one")
        with bar("train", 3) as advance:
            advance(2)
            advance(1, loss=0.5)
        with quiet(), bar("train", 3) as advance:
            say("data", "measured")
            advance(1)
    warn("data", "after")
    assert ears.told == ["one", Done("train", 2, 3, {}), Done("train", 3, 3, {"loss": 0.5})]
