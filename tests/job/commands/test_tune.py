"""`tunewright tune`: from a space to a file that `train` takes, over a stop and with several processes."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from tunewright.job import program, signals
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.load import load_settings
from tunewright.job.steps.teach import teach
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store

optuna = pytest.importorskip("optuna")

pytestmark = pytest.mark.usefixtures("own_signals")

SPACE = {"train.learning_rate": {"low": 1e-3, "high": 5e-3, "log": True}, "train.epochs": [1, 2]}


@pytest.fixture
def config(make_settings, write_rows, tmp_path, monkeypatch):
    """config(**changes): the path of a settings file of 48 rows, with a search."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))

    def write(**changes):
        sides = {"train": (0, 48), "validation": (48, 72), "test": (72, 84)}
        data = {side: str(write_rows("single", *rows)) for side, rows in sides.items()}
        data["columns"] = {"text": "text", "label": "label"}
        common = {"data": data, "search": SPACE, "output": str(tmp_path / "runs"), "run_id": "mine"}
        common["train"] = {"epochs": 2, "learning_rate": 3e-3, "precision": "fp32"}
        path = tmp_path / "job.json"
        path.write_text(make_settings(**(common | changes)).model_dump_json(exclude_unset=True))
        return str(path)

    return write


def run_main(capsys, *arguments):
    """Exit code, events and errors."""
    code = program.main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_the_file_is_trained_as_its_trial_was(config, capsys, tmp_path):
    code, events, err = run_main(capsys, "tune", "--config", config(), "--trials", "3")
    assert (code, err) == (0, "")
    path = tmp_path / "runs/study-tiny/best.yaml"
    assert events[-1]["message"].endswith(f"next: tunewright train --config {path}")
    assert not (tmp_path / "registry").exists()
    found = yaml.safe_load(path.read_text())
    assert "search" not in found
    assert "run_id" not in found
    told = found["searched"]
    assert (told["trials"], told["metric"], told["settings"]) == (3, "accuracy", list(SPACE))
    assert told["looks"] == sum(event["event"] == "train" and "accuracy" in event for event in events)
    settings = load_settings(["--config", str(path)], "tunewright train")
    trained = teach(*prepare_all(settings, RegistrySettings(), tmp_path / "work")).trained
    assert trained.figures["accuracy"] == told["value"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--search.train.epocs", "[1, 2]"], "search names 'train.epocs', which is not a setting; did you mean "),
        (["--search.train.epochs", "[]"], "search.train.epochs is []: list should have at least 2 items"),
        (["--trials", "0"], "argument --trials: '0' is not a number from 1"),
        (["--data.validation_fraction", "0"], "data.validation_fraction would have no effect"),
        (["--study", "s4://bucket"], "stores of the kind 's4://' are not known"),
    ],
)
def test_what_cannot_be_searched_ends_before_anything_is_read(config, capsys, flags, said, tmp_path):
    path = config()
    try:
        code = program.main(["tune", "--config", path, *flags])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


def test_rows_to_choose_on_are_asked_for(config, capsys, write_rows):
    data = {"train": str(write_rows("single", 0, 48)), "columns": {"text": "text", "label": "label"}}
    code, _, err = run_main(capsys, "tune", "--config", config(data=data | {"validation_fraction": 0}))
    assert code == 2
    assert err == ("error: tune chooses on validation rows, and none are held out; give data.validation_fraction\n")


def test_train_says_what_a_search_is_for(config, capsys):
    code, events, err = run_main(capsys, "train", "--config", config())
    assert (code, events) == (2, [])
    assert err == (
        "error: search is for `tunewright tune`, which writes a file without it; give that file, or remove search\n"
    )


def test_no_trial_that_comes_to_a_figure_is_no_file(config, capsys, tmp_path):
    search = {"train.unfreeze": [1, 2], "train.layers": [1, 2]}
    code, _, err = run_main(capsys, "tune", "--config", config(search=search), "--trials", "2")
    assert code == 1
    assert err.startswith("error: none of the 2 trials came to a figure; the last: train.unfreeze unfreezes all layers")
    assert not (tmp_path / "runs/study-tiny/best.yaml").exists()


def test_without_its_packages_the_extra_is_named():
    code = "import sys; sys.modules['optuna'] = None; from tunewright.job.program import main; "
    code += "sys.exit(main(['tune', '--config', 'nowhere.yaml']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: tune needs more packages: pip install 'tunewright[tune]'\n"


@pytest.mark.slow
def test_two_processes_share_a_study_in_a_bucket_and_one_may_be_stopped(config, bucket):
    """One is stopped by Ctrl-C after its first trial: the other one, and the same command again, do the rest."""
    study = f"s3://{bucket}/studies/tiny"
    words = ["-m", "tunewright", "tune", "--config", config(), "--study", study, "--trials", "6"]
    run = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": os.environ}
    one, other = (subprocess.Popen([sys.executable, *words], **run) for _ in range(2))
    for line in one.stdout:
        if '"figure": ' in line:
            one.send_signal(signal.SIGINT)
            break
    one.stdout.read()
    # Python tells, before it, of a Ctrl-C that met a library's destructor.
    assert (one.wait(60), one.stderr.read().splitlines()[-1]) == (130, f"error: {signals.CTRL_C}")
    said, err = other.communicate(timeout=300)
    assert (other.returncode, err) == (0, "")
    done = [json.loads(line) for line in said.splitlines()][-1]
    assert done["trials"] == 6
    assert 1 <= said.count('"figure": ') < 6
    best = yaml.safe_load(open_store(study).read("best.yaml"))
    assert best["searched"]["looks"] == done["looks"]
    again = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=True)
    assert "6 of 6 trials have ended" in again.stdout
    assert '"event": "trial"' not in again.stdout
