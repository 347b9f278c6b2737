"""A cluster that a real kubectl reaches, and what a person says to it."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cluster_api import running

from tunewright.job.cluster.kubectl import Kubectl
from tunewright.job.cluster.rendered import submission
from tunewright.registry.command_line import main

ROOT = Path(__file__).parents[3]
SETTINGS = """\
task: text-classification
model_name: reviews
data:
  train: s3://tunewright/data/reviews/train.csv
"""


def kubectls():
    """The oldest and the newest that are promised, where .ci/run brings them; else the one that is here."""
    told = os.environ.get("TUNEWRIGHT_KUBECTLS", "")
    return told.split(":") if told else [shutil.which("kubectl")]


@pytest.fixture
def use_kubectl(tmp_path, monkeypatch):
    """A function: from now on `kubectl` is this program."""

    def use(program):
        if program is None:
            pytest.skip("kubectl is not installed")
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin/kubectl").unlink(missing_ok=True)
        (tmp_path / "bin/kubectl").symlink_to(program)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return use


@pytest.fixture
def cluster(tmp_path, monkeypatch, use_kubectl):
    """A cluster with a namespace `team-a`, which kubectl's context names."""
    use_kubectl(kubectls()[0])
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("JOB_RUN_ID", raising=False)
    with running(tmp_path, "team-a") as made:
        yield made


@pytest.fixture
def kubectl(cluster):
    return Kubectl()


@pytest.fixture
def say(capsys, cluster):
    """say("submit", ...): the exit code, and what was written to standard output and standard error."""

    def said(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return said


@pytest.fixture
def settings(tmp_path):
    """A file of settings of a job."""
    (tmp_path / "mine.yaml").write_text(SETTINGS)
    return str(tmp_path / "mine.yaml")


@pytest.fixture(scope="session")
def rendered():
    """The base of a job, as kubectl renders it."""
    if kubectls()[0] is None:
        pytest.skip("kubectl is not installed")
    command = [kubectls()[0], "kustomize", str(ROOT / "k8s/job")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def found(rendered):
    """found("spam", NUMBER="1"): a submission of that model with these variables, and nothing beside it."""

    def make(model="reviews", **variables):
        made = submission(rendered, model=model, settings=SETTINGS, variables=variables)
        return replace(made, beside=())

    return make


@pytest.fixture
def there(cluster, found):
    """there("spam"): a job of that model that is in the cluster already, as the cluster keeps it."""

    def put(model="reviews"):
        one = found(model)
        document = one.with_run(f"{one.name}-run")
        document["metadata"]["namespace"] = "team-a"
        _, kept = cluster.answer("POST", "/apis/batch/v1/namespaces/team-a/jobs", {}, document)
        cluster.asked.clear()
        return kept

    return put
