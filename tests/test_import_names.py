"""The import names are tunewright.*: nothing else reaches a user's path, and nothing of theirs is taken for ours."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ["LICENSE", "README.md", "pyproject.toml", "job", "registry", "serving", "k8s", "src"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names of all files of the wheel, by a build of a copy; and the folder that it is installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = ["cp", "-a", *(str(ROOT / name) for name in SOURCES), str(folder)]
    subprocess.run(copy, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(build, cwd=folder, check=True)
    (path,) = (folder / "dist").iterdir()
    with zipfile.ZipFile(path) as file:
        file.extractall(folder / "site")
        return file.namelist(), folder / "site"


def test_a_regular_install_brings_one_name(wheel):
    names, _ = wheel
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"tunewright"}
    for room in ("registry", "serving", "job"):
        kept = {path.relative_to(ROOT).as_posix() for path in (ROOT / room).rglob("*.py")}
        assert {f"tunewright/{name}" for name in kept} <= set(names)
    assert "tunewright/job/examples/reviews/job.yaml" in names
    assert {"tunewright/k8s/job/kustomization.yaml", "tunewright/k8s/components/registry/environment.env"} <= set(names)
    chart = {path.relative_to(ROOT).as_posix() for path in (ROOT / "k8s/helm").rglob("*.*")}
    assert {f"tunewright/{name}" for name in chart} <= set(names)


def test_an_editable_install_is_a_plain_path_that_holds_one_name():
    assert sorted(path.name for path in (ROOT / "src").iterdir() if path.suffix != ".egg-info") == ["tunewright"]
    code = "import sys, tunewright.registry as r; print(r.__file__, *(hasattr(f, 'MAPPING') for f in sys.meta_path))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert Path(done.stdout.split()[0]).resolve().is_relative_to(ROOT)
    assert "True" not in done.stdout


@pytest.mark.parametrize("command", ["list", "serve", "train"])
def test_a_project_with_files_of_the_same_names_runs_tunewright(wheel, tmp_path, command):
    _, site = wheel
    for name in ("registry.py", "job.py", "serving/__init__.py", "errors.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"raise SystemExit('the wrong file: {name}')")
    words = [sys.executable, "-m", "tunewright", command, "--help"]
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout
