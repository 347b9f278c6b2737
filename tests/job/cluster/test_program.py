"""`tunewright jobs` and `tunewright cancel`."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def two(cluster, there):
    """A job that runs, and one that failed; their names."""
    running, failed = there("reviews"), there("spam")
    cluster.set_pod(running, "x-1")
    cluster.set_status(failed, conditions=[("Failed", "DeadlineExceeded", "it took too long")])
    return [running["metadata"]["name"], failed["metadata"]["name"]]


def test_jobs_tells_how_each_stands(two, say):
    code, written, _ = say("jobs")
    assert code == 0
    running, failed = written.splitlines()
    assert running.split() == [two[0], running.split()[1], "running"]
    assert failed.endswith("failed (exit code 1): DeadlineExceeded: it took too long")
    found = json.loads(say("jobs", "--json")[1])
    assert [(one["name"], one["state"], one["exit_code"]) for one in found] == [
        (two[0], "running", None),
        (two[1], "failed", 1),
    ]
    assert json.loads(say("jobs", two[1], "--json")[1]) == found[1]
    assert say("jobs", two[1], "--follow")[0] == 1


def test_no_jobs_are_told(cluster, say):
    assert say("jobs") == (0, "", "there are no jobs in team-a\n")


def test_cancel_ends_what_has_not_ended_and_what_belongs_to_it(two, cluster, say):
    code, _, told = say("cancel", two[0])
    assert (code, told) == (0, f"cancelled {two[0]} in team-a: what it has is kept where its settings say output\n")
    assert [one["metadata"]["name"] for one in cluster.of_kind("Job").values()] == [two[1]]
    assert cluster.of_kind("Pod") == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cancel", "{1}"], "{1} has ended (Failed); there is nothing to cancel"),
        (["cancel", "none"], "there is no job none of Tunewright in team-a; `tunewright jobs` tells those there are"),
        (["jobs", "none"], "there is no job none of Tunewright in team-a; `tunewright jobs` tells those there are"),
        (["jobs", "--follow"], "--follow is for one job; name it"),
    ],
)
def test_what_cannot_be_done_is_told(two, say, words, said):
    code, _, told = say(*(word.format(*two) for word in words))
    assert (code, told) == (2, f"error: {said.format(*two)}\n")


def test_a_job_of_others_is_not_ours_to_end(cluster, say):
    path = "/apis/batch/v1/namespaces/team-a/jobs/backup"
    cluster.objects[path] = {"kind": "Job", "metadata": {"name": "backup"}, "spec": {}}
    assert say("cancel", "backup")[0] == 2
    assert path in cluster.objects


def test_it_needs_no_library_of_the_job():
    heavy = "torch transformers datasets pyarrow numpy onnxruntime"
    code = f"import sys, tunewright.job.cluster.program; print(*set({heavy!r}.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
