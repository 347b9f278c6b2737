"""`tunewright gates` and `promote`: what is told, what is kept, and which exit code."""

import json

import pytest

from tunewright.registry.errors import Conflict
from tunewright.registry.gates.policy import Policy, set_policy
from tunewright.registry.program import main
from tunewright.registry.versions.alias import Gate, Verdict, current, history, last_move, move, rollback
from tunewright.registry.versions.layout import move_key


@pytest.fixture
def run(store, capsys):
    """run("list") returns (exit code, standard output, standard error)."""

    def call(*arguments):
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def production(store, make, rights, metrics_of):
    """`reviews@production` points at version 1 and asks for an accuracy of 0.9; version 2 has it and 3 has not."""
    make(rights("+" * 90))
    make(rights("+" * 90))
    make(rights("+" * 70 + "-" * 20), metrics=metrics_of(0.8))
    move(store, "reviews", "production", 1)
    set_policy(store, "reviews", "production", Policy(min={"accuracy": 0.9}, max_overlap=0))
    return store


def test_gates_are_set_shown_and_taken_away(store, make, run, tmp_path):
    make()
    file = tmp_path / "gates.yaml"
    file.write_text("min: {accuracy: 0.9}\nnot_worse: {}\n")
    code, out, err = run("gates", "reviews@production")
    assert (code, err) == (0, "")
    assert out == (
        "reviews@production asks nothing of a version: `tunewright gates reviews@production --set gates.yaml` changes "
        "that\n"
    )
    code, out, _ = run("gates", "reviews@production", "--set", str(file), "--why", "as agreed")
    assert code == 0
    first, *table = out.splitlines()
    assert first.startswith("reviews@production asks this since ")
    assert first.endswith(": as agreed")
    assert table == [
        "GATE              ASKS",
        "min.accuracy      0.9",
        "not_worse.alpha   0.05",
        "not_worse.margin  -",
        "not_worse.rows    30",
    ]
    told = json.loads(run("gates", "reviews@production", "--json")[1])
    assert (told["entry"], told["reason"]) == (1, "as agreed")
    assert told["policy"] == {"min": {"accuracy": 0.9}, "not_worse": {"alpha": 0.05, "margin": None, "rows": 30}}
    code, out, _ = run("gates", "reviews@production", "--remove", "--why", "too strict", "--json")
    told = json.loads(out)
    assert (code, told["entry"], told["reason"], told["policy"]) == (0, 2, "too strict", {})
    assert {"who", "set"} <= set(told)
    assert "asks nothing" in run("gates", "reviews@production", "--remove")[1]
    assert run("gates", "reviews@production", "--json")[1] == "null\n"


def test_a_reason_without_a_change_and_a_model_that_is_not_there_are_refused(store, make, run):
    make()
    said = "error: --why is kept with what --set or --remove changes; say one of the two\n"
    assert run("gates", "reviews@production", "--why", "as agreed") == (2, "", said)
    for more in ([], ["--json"]):
        code, out, err = run("gates", "nope@production", *more)
        assert (code, out, err.startswith("error: there is no model 'nope' in ")) == (2, "", True)


def test_a_version_that_passes_is_promoted_with_the_verdict_in_the_log(production, run):
    code, out, err = run("promote", "reviews:2", "--to", "production", "--why", "it is good")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "GATE                  FIGURES",
        "min.accuracy  passed  0.9000, at least 0.9",
        "max_overlap   passed  0 of 90 test rows stand among the training rows, at most 0",
        "these 872 test rows have measured 3 versions",
        "reviews@production -> 2 (before: 1)",
    ]
    (verdict,) = [one["verdict"] for one in json.loads(run("history", "reviews@production", "--json")[1])[1:]]
    assert (verdict["policy"], verdict["holder"], verdict["test_rows"], verdict["decided"]) == (1, 1, "aa", 3)
    assert verdict["gates"][0] == {
        "name": "min.accuracy",
        "passed": True,
        "says": "0.9000, at least 0.9",
        "found": 0.9,
        "asked": 0.9,
    }


def test_a_version_that_misses_a_gate_is_not_promoted(production, run):
    code, out, err = run("promote", "reviews:3", "production")
    assert code == 4
    assert "min.accuracy  MISSED  0.8000, at least 0.9" in out.splitlines()
    assert err == (
        "error: reviews:3 misses min.accuracy: reviews@production is not moved; --force --why TEXT moves it all the "
        "same\n"
    )
    assert current(production, "reviews", "production") == 1


def test_force_moves_all_the_same_where_somebody_says_why(production, run):
    code, _, err = run("promote", "reviews:3", "production", "--force")
    assert (code, err) == (2, "error: reviews:3 misses min.accuracy: --force needs --why TEXT here, which is kept\n")
    code, out, _ = run("promote", "reviews:3", "production", "--force", "--why", "a fix for today")
    assert code == 0
    assert out.splitlines()[-1] == "reviews@production -> 3 (before: 1)"
    newest = run("history", "reviews@production")[1].splitlines()[1]
    assert "move, gates missed" in newest
    assert newest.endswith("a fix for today")
    assert [gate.name for gate in last_move(production, "reviews", "production").verdict.missed] == ["min.accuracy"]


def test_a_dry_run_only_tells(production, run):
    code, out, _ = run("promote", "reviews:2", "production", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "reviews@production would be moved to 2")
    code, out, err = run("promote", "reviews:3", "production", "--dry-run", "--force", "--json")
    told = json.loads(out)
    assert (code, told["moved"], told["verdict"]["gates"][0]["passed"]) == (4, False, False)
    assert err == "error: reviews:3 misses min.accuracy: reviews@production is not moved\n"
    assert current(production, "reviews", "production") == 1


def test_an_alias_that_asks_nothing_moves_as_ever(store, make, run):
    make()
    assert run("promote", "reviews:1", "production") == (0, "reviews@production -> 1 (before: nothing)\n", "")
    for more in ([], ["--dry-run"]):
        again = run("promote", "reviews:1", "production", *more)
        assert again == (0, "reviews@production points at 1 already\n", "")
    code, out, _ = run("promote", "reviews:1", "--to", "production", "--json")
    told = json.loads(out)
    assert (code, told["number"], told["verdict"]) == (0, 1, None)
    said = "error: say one alias to move to reviews:1, as in reviews:1 production\n"
    for words in ([], ["production", "--to", "staging"]):
        assert run("promote", "reviews:1", *words) == (2, "", said)


VERDICT = Verdict(1, 1, (Gate("min.accuracy", False, "0.8, at least 0.9", 0.8, 0.9),), "aa", 872, 3)


def test_entries_with_a_verdict_are_read_again_and_sealed_beside_those_without(store, make):
    for _ in range(3):
        make()
    move(store, "reviews", "production", 1)
    made = move(store, "reviews", "production", 2, verdict=VERDICT)
    rollback(store, "reviews", "production")
    move(store, "reviews", "production", 3)
    log = history(store, "reviews", "production")
    assert [one.verdict for one in log] == [None, VERDICT, None, None]
    assert log[1] == made
    # An entry without one is as it was before there were any.
    assert b"verdict" not in store.read(move_key("reviews", "production", 1), limit=9999)


def test_a_verdict_about_another_holder_moves_nothing(store, make):
    for _ in range(2):
        make()
    with pytest.raises(Conflict, match="reviews@production was moved while reviews:2 was judged for it"):
        move(store, "reviews", "production", 2, verdict=VERDICT)
    move(store, "reviews", "production", 1)
    assert move(store, "reviews", "production", 2, verdict=VERDICT).number == 2


def test_damaged_gates_move_nothing(production, run, tmp_path):
    (path,) = (tmp_path / "registry/models/reviews/gates/production").iterdir()
    path.write_bytes(path.read_bytes().replace(b"0.9", b"0.1"))
    code, _, err = run("promote", "reviews:3", "production")
    assert (code, "was changed or damaged" in err) == (1, True)
    assert current(production, "reviews", "production") == 1
