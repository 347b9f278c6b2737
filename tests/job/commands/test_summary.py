import json
from dataclasses import replace

from rich.console import Console

from tunewright.job.commands.summary import show
from tunewright.job.progress import console as terminal


def on_terminal(monkeypatch):
    console = Console(force_terminal=True, width=160, highlight=False, record=True)
    monkeypatch.setattr(terminal, "_console", console)
    return console


def test_the_end_of_a_run_is_one_event_with_the_next_command(made, capsys):
    show(made("single").outcome)
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["event"] == "done"
    assert event["message"] == "tiny:1 is registered; serve it: tunewright serve tiny:1"
    assert set(event["variants"]) == {"fp32", "int8"}
    assert event["training"]["tokens_per_second"] > event["training"]["rows_per_second"] > 0


def test_a_terminal_gets_a_table_of_the_variants(made, monkeypatch):
    console = on_terminal(monkeypatch)
    show(made("single").outcome)
    text = console.export_text()
    assert all(word in text for word in ("tiny:1", "accuracy", "95 % interval", "fp32", "int8", "served by default"))
    assert "learned from " in text


def test_a_variant_that_was_left_out_is_marked(made, monkeypatch):
    console = on_terminal(monkeypatch)
    outcome = made("single").outcome
    model = outcome.release.model.model_copy(update={"left_out": {"int8": "why"}, "default_variant": "fp32"})
    show(replace(outcome, release=replace(outcome.release, model=model)))
    assert "left out" in console.export_text()


def test_a_run_that_had_published_before_has_no_table(made, capsys):
    show(replace(made("single").outcome, release=None))
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["message"].startswith("tiny:1 is registered")
    assert "variants" not in event
