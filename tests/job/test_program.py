import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tunewright.job import program
from tunewright.job.data.doctor.label_noise import can_be_noise
from tunewright.job.errors import (
    BaseModelError,
    DataError,
    GateFailed,
    Interrupted,
    JobError,
    SettingsError,
    TrainingFailed,
)
from tunewright.job.tasks import TASKS
from tunewright.registry.errors import AccessDenied, Conflict, NotFound, RegistryError, Unreachable
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.record import version_numbers
from tunewright.serving.errors import BundleError

pytestmark = pytest.mark.usefixtures("own_signals")


@pytest.fixture
def arguments(make_settings, tmp_path, monkeypatch):
    """The flags of a small job, with its registry in a folder."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    settings = make_settings()
    config = tmp_path / "job.json"
    config.write_text(settings.model_dump_json(exclude_unset=True))
    return ["--config", str(config)]


def run_main(capsys, *arguments):
    """Exit code, events and the lines of the errors."""
    code = program.main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def registered(tmp_path):
    return version_numbers(open_store(str(tmp_path / "registry")), "tiny")


def test_check_reads_everything_and_registers_nothing(arguments, capsys, tmp_path):
    files = [tmp_path / name for name in ("doctor.json", "doctor.html")]
    code, out, _ = run_main(capsys, "check", *arguments, "--json", str(files[0]), "--html", str(files[1]))
    assert code == 0
    found = json.loads(files[0].read_text())
    assert list(found["sides"]) == ["train", "validation", "test"]
    assert {one["name"]: one["role"] for one in found["columns"]}["label"] == "label"
    assert "<title>Know your data: Tunewright</title>" in files[1].read_text()
    assert "the settings and the data can be used" in out
    assert "tokens per row" in out
    assert '"event": "train"' not in out
    assert not (tmp_path / "registry").exists()


@pytest.mark.skipif(not can_be_noise(), reason="needs cleanlab, which the extra doctor brings")
def test_check_tells_labels_that_are_likely_wrong_and_ends_where_the_gate_allows_fewer(arguments, capsys, tmp_path):
    words = ("good", "the worst of all")
    random = np.random.default_rng(0)
    labels = [number % 2 for number in range(200)]
    texts = [" ".join(random.choice(words[label].split(), 8)) + f" {at}" for at, label in enumerate(labels)]
    wrong = (20, 61, 130)
    given = [("without", "with")[label ^ (at in wrong)] for at, label in enumerate(labels)]
    rows = "".join(f"{text},{label}\n" for text, label in zip(texts, given, strict=True))
    (tmp_path / "noisy.csv").write_text(f"text,label\n{rows}")
    files = [tmp_path / name for name in ("doctor.json", "doctor.html")]
    more = ["--data.train", str(tmp_path / "noisy.csv"), "--json", str(files[0]), "--html", str(files[1])]
    code, out, err = run_main(capsys, "check", *arguments, *more, "--label_noise")
    assert (code, err) == (0, "")
    assert "the base model reads 200 train rows to hold their labels against each other" in out
    (found,) = [one for one in json.loads(files[0].read_text())["findings"] if one["kind"] == "label_noise"]
    assert {one["line"] for one in found["examples"]} == {row + 2 for row in wrong}
    assert "Warning: label noise in train" in files[1].read_text()
    code, _, err = run_main(capsys, "check", *arguments, *more, "--data.gate.label_noise", "0.01")
    assert code == 3
    assert err.startswith("error: data.gate.label_noise is 0.01, but 3 of the 200 train rows looked at likely have a ")


FAILS = [
    (["--train.epoch", "3"], 2, "unrecognized arguments: --train.epoch 3; did you mean --train.epochs?"),
    (["--task", "text-regresion"], 2, "task is 'text-regresion': expected "),
    (["--config", "nowhere.yaml"], 2, "--config nowhere.yaml: No such file"),
    (["--options.stride", "3"], 2, "options.stride is not a setting of text-classification"),
    (["--data.columns.lable", "label"], 2, "data.columns has a role 'lable'"),
    (["--data.train", "nowhere.csv"], 3, "data source 'nowhere.csv': no such file"),
    (["--data.columns.label", "stars"], 3, "train.csv, line 2: has no column 'stars'"),
    (["--data.train", "one.csv"], 3, "the training rows hold 1 label ('good')"),
    (["--base_model", "./nothing"], 2, "base model './nothing' is not a folder here"),
    (["--base_model", "package://nothing/model"], 2, "base model 'package://nothing/model': the Python package"),
]


def test_checks_that_fail_import_nothing_that_trains(tmp_path):
    """One process tries them all: what none of them may import is not there after the last."""
    (tmp_path / "one.csv").write_text("text,label\n" + "some text,good\n" * 9)
    rows = "".join(f"text {number},{('good', 'bad')[number % 2]}\n" for number in range(40))
    (tmp_path / "train.csv").write_text("text,label\n" + rows)
    usual = ["check", "--model_name", "x"]
    each = [
        [*usual, *flags, *([] if "--data.train" in flags else ["--data.train", "train.csv"])] for flags, *_ in FAILS
    ]
    program = "import sys; from tunewright.job import program\n"
    program += f"for words in {each!r}:\n"
    program += "  print('code', program.main(words)); print('of', words, file=sys.stderr)\n"
    program += "print(sorted({'torch', 'transformers', 'optimum', 'peft', 'sklearn'} & set(sys.modules)))"
    environment = os.environ | {"REGISTRY_CACHE": str(tmp_path / "cache")}
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    *codes, imported = done.stdout.splitlines()
    told = [lines.strip().splitlines() for lines in re.split(r"^of .*$", done.stderr, flags=re.MULTILINE)[:-1]]
    assert imported == "[]"
    assert [line for line in codes if line.startswith("code ")] == [f"code {code}" for _, code, _ in FAILS]
    for lines, (flags, _, said) in zip(told, FAILS, strict=True):
        assert lines[0].startswith(f"error: {said}"), (flags, lines)


@pytest.mark.slow
def test_what_a_job_needs_at_its_end_is_not_imported_at_its_start():
    program = "import sys; from tunewright.job import recipe\n"
    program += "print(sorted({'sklearn', 'scipy.stats', 'onnxscript', 'transformers.exporters'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout == b"[]\n"


def test_check_finds_what_the_loss_cannot_be_made_of(arguments, capsys):
    code, _, err = run_main(capsys, "check", *arguments, "--train.huber_delta", "1")
    assert code == 2
    assert err == (
        "error: train.huber_delta would have no effect: text-classification does not use it (it is for "
        "audio-regression, image-regression, text-regression); remove it\n"
    )


def test_an_address_of_the_hub_that_is_none_is_refused_before_anything_is_imported(monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://[x")
    code, out, err = run_main(capsys, "train", "--config", "no such file")
    assert (code, out) == (2, "")
    assert (
        err == "error: HF_ENDPOINT is 'http://[x', which is no address; expected one such as https://huggingface.co\n"
    )


@pytest.mark.parametrize("command", ["train", "tune"])
def test_places_that_do_not_fit_are_refused_before_anything_is_read(monkeypatch, capsys, command):
    monkeypatch.setenv("WORLD_SIZE", "many")
    code, out, err = run_main(capsys, command, "--config", "no such file")
    assert (code, out) == (2, "")
    assert err == "error: WORLD_SIZE is 'many'; expected a whole number from 1: how many processes there are\n"


def test_a_search_is_one_process(monkeypatch, capsys):
    monkeypatch.setenv("PET_NNODES", "2")
    code, _, err = run_main(capsys, "tune", "--config", "no such file")
    assert (code, err) == (2, "error: tune is one process, without torchrun: start several that share a study\n")


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "1"), ("PET_NNODES", "1:1"), ("PET_NPROC_PER_NODE", "1")])
def test_the_only_process_trains(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    assert "no such file" in run_main(capsys, "train", "--config", "no such file")[2]


@pytest.mark.slow
def test_predict_answers_one_line_for_each_input(made, monkeypatch, capsys):
    registry = made("single").registry
    monkeypatch.setenv("REGISTRY_URI", registry.uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))
    code, out, _ = run_main(capsys, "predict", "tiny@production", "the lamp", "a lamp", "--variant", "fp32")
    assert code == 0
    assert [len(json.loads(line)) for line in out.splitlines()[-2:]] == [2, 2]


def test_the_settings_are_the_first_thing_that_is_looked_at(capsys):
    code, _, err = run_main(capsys, "train", "--train.epoch", "3")
    assert code == 2
    assert "did you mean --train.epochs?" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobError("a"), 1), (SettingsError("a"), 2), (BaseModelError("a"), 2), (DataError("a"), 3),
        (GateFailed("a"), 4), (TrainingFailed("a"), 1), (Interrupted("a"), 75), (RegistryError("a"), 2),
        (NotFound("a"), 2), (AccessDenied("a"), 2), (Unreachable("a"), 1), (Conflict("a"), 1), (BundleError("a"), 2),
    ],
)  # fmt: skip
def test_every_kind_of_failure_has_its_exit_code_and_one_sentence(error, code, capsys):
    def fail():
        raise error

    assert program._guarded(fail) == code
    assert capsys.readouterr().err == "error: a\n"


def test_every_sentence_of_an_error_has_its_line(capsys):
    def fail():
        raise SettingsError("one\ntwo")

    program._guarded(fail)
    assert capsys.readouterr().err == "error: one\nerror: two\n"


def test_a_bug_keeps_its_traceback():
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        program._guarded(fail)


def test_an_output_folder_that_cannot_be_made_is_one_sentence(arguments, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run_main(capsys, "train", *arguments, "--output", str(tmp_path / "file" / "runs"))
    assert code == 1
    assert re.fullmatch(r"error: .*/file/runs.*: Not a directory; see the settings output and REGISTRY_CACHE\n", err)


def test_a_disk_that_is_full_is_named_with_its_folder_and_in_a_pod_with_its_volume(capsys, tmp_path, monkeypatch):
    def fail(*file):
        raise OSError(errno.ENOSPC, "No space left on device", *file)

    def said(*file):
        assert program._guarded(partial(fail, *file)) == 1
        return capsys.readouterr().err

    (tmp_path / "small").mkdir()
    full = rf"error: No space left on device: the disk that holds {tmp_path}/small is full and .* are free; make room "
    settings = r"; see the settings output, REGISTRY_CACHE and TMPDIR\n"
    assert re.fullmatch(
        rf"{full}there or choose another folder{settings}", said(str(tmp_path / "small" / "rows.arrow"))
    )
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    told = said(str(tmp_path / "small" / "rows.arrow"))
    assert re.search(
        r"another folder \(in this pod: the volume at /.*, .* in all; of an emptyDir raise sizeLimit, ", told
    )
    # A name that is none of a disk: whatever of the job's folders has the least room.
    assert re.match(r"error: No space left on device: the disk that holds .* is full and .* are free; ", said())


# A real program, as a container would run it.


@pytest.fixture
def start(arguments):
    """start("train", ...) starts `tunewright.job` with the small job's settings; it is ended with the test."""
    started = []

    def begin(*flags):
        root = Path(program.__file__).parents[2]
        command = [sys.executable, "-m", "tunewright", flags[0], *arguments, *flags[1:]]
        environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def wait_for_event(process, text):
    """Read the events of a program up to one that holds the text."""
    killer = threading.Timer(120, process.kill)
    killer.start()
    for line in process.stdout:
        if text in line:
            killer.cancel()
            return
    raise AssertionError(f"{text!r} was never said; errors: {process.stderr.read()}")


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        pytest.param(
            signal.SIGINT,
            130,
            "stopped by Ctrl-C; nothing half-made is left in the registry",
            marks=pytest.mark.slow,
        ),
        (
            signal.SIGTERM,
            75,
            "stopped by SIGTERM; nothing half-made is left in the registry, the same job may run again",
        ),
    ],
)
def test_a_signal_during_training_ends_the_job_cleanly(start, arguments, capsys, tmp_path, number, code, sentence):
    process = start("train", "--train.epochs", "1000", "--train.patience", "1000", "--run_id", "one")
    wait_for_event(process, "epoch 1/1000")
    process.send_signal(number)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, f"error: {sentence}\n")
    assert registered(tmp_path) == []
    code, _, err = run_main(capsys, "train", *arguments, "--train.epochs", "1", "--run_id", "one")
    assert code == 2
    assert "it is of other settings: train.epochs is 1000 there and 1 here" in err
    if number == signal.SIGINT:  # one job is enough to show that another one trains and registers after it
        code, out, err = run_main(capsys, "train", *arguments, "--train.epochs", "1", "--run_id", "two")
        assert (code, err, json.loads(out.splitlines()[-1])["event"]) == (0, "", "done")
        assert registered(tmp_path) == [1]


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_ctrl_c_while_the_program_is_still_starting_ends_it_with_one_sentence(start, seconds):
    process = start("train")
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("only Linux tells which signals a process handles")
    until = time.monotonic() + 30
    # Bit 14 is SIGTERM, which Python itself does not handle: once it is set, the program's own handlers are there.
    while not int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) >> (signal.SIGTERM - 1) & 1:
        assert time.monotonic() < until
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: stopped by Ctrl-C; nothing half-made is left in the registry\n")


def test_an_offline_hub_ends_the_program_with_one_sentence(start, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    process = start("train", "--base_model", "org/tiny")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.startswith("error: base model 'org/tiny' could not be had from the hub (HF_HUB_OFFLINE is set): ")


MISTAKEN = ["--train.epochs", "many", "--train.huber_delta", "1", "--data.validation_fraction", "0"]


@pytest.mark.parametrize(
    ("more", "sentences"),
    [
        (
            [],
            [
                "model_name must be set",
                "data.train must be set",
                "train.epochs is 'many': input should be a valid integer, unable to parse string as an integer",
                "train.huber_delta would have no effect: text-classification does not use it (it is for "
                "audio-regression, image-regression, text-regression); remove it",
            ],
        ),
        # What is said of a setting that cannot be read may be wrong, and so may all be that is said of another task.
        (
            ["--model_name", "x", "--data.train", "a.csv", "--train.patience", "few", "--train.huber_delta", "-1"],
            [
                "train.epochs is 'many': input should be a valid integer, unable to parse string as an integer",
                "train.huber_delta is '-1': input should be greater than 0",
                "train.patience is 'few': input should be a valid integer, unable to parse string as an integer",
            ],
        ),
        (
            ["--model_name", "x", "--data.train", "a.csv", "--task", "text-regresion"],
            [
                "task is 'text-regresion': expected " + ", ".join(map(repr, sorted(TASKS))),
                "train.epochs is 'many': input should be a valid integer, unable to parse string as an integer",
            ],
        ),
    ],
)
def test_contradictions_are_told_beside_values_that_cannot_be_read(more, sentences, capsys):
    assert program.main(["check", *MISTAKEN, *more]) == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {sentence}" for sentence in sentences]
