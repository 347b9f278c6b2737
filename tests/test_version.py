"""One version everywhere: what is installed, built, run on Kubernetes and told to people."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_command_says_it():
    done = subprocess.run([sys.executable, "-m", "tunewright", "--version"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"tunewright {VERSION}\n", 0)


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("Makefile", r"^TAG +\?= (\S+)"),
        ("Dockerfile", r'org\.opencontainers\.image\.version="([^"]*)"'),
        ("k8s/job/job.yaml", r"image: \S+/tunewright-job:(\S+)"),
        ("k8s/serving/serving.yaml", r"image: \S+/tunewright-serving:(\S+)"),
        ("k8s/helm/Chart.yaml", r'^(?:version|appVersion): "?([\w.]+)'),
        ("k8s/helm/values.yaml", r'^  tag: "(\S+)"'),
        ("docs/guides/neighbours/argo-workflows.yaml", r"image: \S+/tunewright-job:(\S+)"),
        ("docs/guides/neighbours/github-actions.yaml", r"tunewright==(\S+)"),
        ("docs/guides/run-on-kubernetes.md", r"tunewright-(?:job|serving):([\w.]+\w)"),
    ],
)
def test_everything_that_names_a_version_names_this_one(file, pattern):
    assert set(re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)) == {VERSION}


def test_the_changelog_tells_of_it_with_its_date():
    sections = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)} - 20\d\d-[01]\d-[0-3]\d", sections[1])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", section) for section in sections[1:])
