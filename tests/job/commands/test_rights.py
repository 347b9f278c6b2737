"""Commands that use a registry and need a model, under exactly the policies that the guide gives their roles."""

import re
from itertools import chain

import pytest
from rights import GUIDE, Gate, policies, rights_of

from tunewright.job import program
from tunewright.job.command_line import GROUP as JOB
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.copying import copy
from tunewright.registry.versions.record import version_numbers
from tunewright.registry.versions.reference import resolve
from tunewright.serving import drift
from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.command_line import GROUP as SERVING
from tunewright.serving.predictor import open_predictor
from tunewright.serving.watch.feedback import Feedback, Place
from tunewright.serving.watch.redaction import redaction

ROLES = {
    "reader": {"serve", "predict", "label", "drift"},
    "publisher": {"train", "import"},
    "watcher": {"drift"},
}
ELSEWHERE = {"init", "check", "tune", "suggest", "runs"}
"""They read data, base models and runs, and nothing of a registry."""


def test_the_table_of_the_guide_names_the_role_of_every_command():
    commands = {*JOB.commands, *SERVING.commands}
    rows = re.findall(r"^\| (\w+) \| (.*?) \|", GUIDE.read_text(), re.MULTILINE)
    said = {role: {one.split()[-1] for one in re.findall(r"`([a-z -]+)`", who)} & commands for role, who in rows}
    assert {role: those for role, those in said.items() if those} == ROLES
    assert commands - set().union(*ROLES.values()) == ELSEWHERE


@pytest.fixture
def gate(made, s3_endpoint, s3_uri, tmp_path, monkeypatch):
    """A registry in a bucket with one version that answers, behind a server that refuses."""
    monkeypatch.setattr("tunewright.job.signals.leave_at_once", lambda: None)
    source = open_store(made("single").registry.uri)
    copy(source, resolve(source, "tiny@production"), open_store(s3_uri))
    started = Gate(s3_endpoint, s3_uri.split("/")[2])
    place = {"AWS_ENDPOINT_URL_S3": started.url, "REGISTRY_URI": s3_uri, "REGISTRY_CACHE": str(tmp_path / "cache")}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    yield started
    started.close()


def allow(gate, *roles):
    """What these roles may, and no more; the policy."""
    statements = list(chain.from_iterable(policies()[role]["Statement"] for role in roles))
    gate.policy, gate.used, gate.refused = {"Statement": statements}, set(), []
    return gate.policy


def answer_as_a_server(folder, place):
    """Answer once, and leave what a server leaves of that."""
    predictor, model = open_predictor(folder), read_model_file(folder)
    parameters = predictor.task.read_parameters({}, model)
    kept = Place(open_store(place), share=1.0, seconds=3600, redact=redaction(["email"]))
    feedback = Feedback(model, "tiny", 1, unknown_id=None, reference=None, place=kept)
    rows = predictor.prepare(["I love the lamp"], parameters)
    answers = predictor.answers(rows, parameters)
    feedback.count(rows[0], answers[0])
    feedback.sample(["I love the lamp"], answers)
    feedback.close()
    predictor.close()


@pytest.mark.slow
@pytest.mark.usefixtures("own_signals")
def test_each_runs_with_the_rights_of_its_role_alone(gate, made, write_rows, tiny_base, tmp_path, monkeypatch):
    rows, place = str(write_rows("single", 360, 420)), f"s3://{gate.bucket}/feedback"
    allow(gate, "reader")
    assert program.main(["predict", "tiny:1", "ok"]) == 0
    taken = ["--take", "2", "--output", str(tmp_path / "next.csv")]
    assert program.main(["label", "tiny:1", "--data", rows, *taken]) == 0
    policy = allow(gate, "reader", "watcher")
    answer_as_a_server(made("single").pulled(), place)
    assert drift.main(["drift", "tiny:1", "--feedback", place, "--samples", str(tmp_path / "recent.jsonl")]) == 0
    unused = rights_of(policy) - gate.used - rights_of(policies()["reader"])
    assert (unused, gate.refused) == (set(), [])
    allow(gate, "reader")
    monkeypatch.chdir(tmp_path)
    words = [
        "import",
        str(made("single").pulled() / "weights"),
        "--model_name",
        "again",
        "--task",
        "text-classification",
    ]
    words += ["--data.test", rows, "--data.columns.text", "text", "--data.columns.label", "label"]
    words += ["--export.explained_rows", "0"]
    assert program.main(words) == 2
    assert version_numbers(open_store(f"s3://{gate.bucket}/registry"), "again") == []
    allow(gate, "publisher")
    assert program.main(words) == 0
    assert gate.refused == []
