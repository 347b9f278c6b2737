"""The whole program as a process: stopped by a signal, out of disk, and fed more data than memory should hold."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import pytest
from processes import wait_until

from tunewright.job import program

ROWS = "".join(f"text {row},{'good' if row % 2 else 'bad'}\n" for row in range(200))
STOPPED = {
    signal.SIGINT: (130, "error: stopped by Ctrl-C; nothing half-made is left in the registry"),
    signal.SIGTERM: (
        75,
        "error: stopped by SIGTERM; nothing half-made is left in the registry, the same job may run again",
    ),
}
SIGINT, SIGTERM = (pytest.param(number, marks=pytest.mark.slow) for number in STOPPED)
"""The heavier tests stop each step by both."""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(tmp_path, tiny_base, monkeypatch):
    """job("check", ...) starts `tunewright.job` with folders of its own; what still runs at the end is killed."""
    (tmp_path / "temporary").mkdir()
    for name, value in {"REGISTRY_URI": "registry", "REGISTRY_CACHE": "cache", "TMPDIR": "temporary"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    started = []

    def start(*arguments, before=(), command="check"):
        settings = ("--model_name", "x", "--base_model", str(tiny_base), *arguments)
        command = [*before, sys.executable, "-m", "tunewright", command, *settings]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", [SIGINT, signal.SIGTERM])
def test_a_download_that_is_stopped_leaves_nothing_to_trip_over(
    job, bucket, faults, tiny_base, own_signals, monkeypatch, capsys, number
):
    boto3.client("s3").put_object(Bucket=bucket, Key="train.csv", Body=b"text,label\n" + ROWS.encode() * 10)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    busy = faults.inject("503 SlowDown", "GET", "train.csv", times=10**6)
    process = job("--data.train", f"s3://{bucket}/train.csv")
    wait_until(lambda: busy.seen, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()) == (STOPPED[number][0], [STOPPED[number][1]])
    busy.times = 0
    words = ["--model_name", "x", "--base_model", str(tiny_base), "--data.train", f"s3://{bucket}/train.csv"]
    assert (program.main(["check", *words]), capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, SIGTERM])
def test_a_check_that_is_stopped_takes_its_files_away(job, write, tmp_path, number):
    write("train.csv", b"text,label\n" + ROWS.encode() * 10_000)
    process = job("--data.train", "train.csv")
    wait_until(lambda: any(path.suffix == ".arrow" for path in leftovers(tmp_path / "cache")), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()) == (STOPPED[number][0], [STOPPED[number][1]])
    # Libraries leave small files of their own beside it.
    assert list((tmp_path / "temporary").glob("tunewright-*")) == leftovers(tmp_path / "registry") == []
    assert leftovers(tmp_path / "cache") == []


@pytest.fixture
def small_disk(tmp_path):
    """small_disk("cache"): the start of a command that sees a disk of 2 MB there, which ends with the command.

    `and_then`: a command of the shell that comes after it.
    """
    trial = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True)
    if trial.returncode:
        pytest.skip(f"this machine does not let a test mount a small disk: {trial.stderr.decode().strip()}")

    def before(name, size="2m", and_then="true"):
        (tmp_path / name).mkdir(exist_ok=True)
        mount = f'mount -t tmpfs -o size={size} none "{tmp_path / name}" && "$@"; code=$?; {and_then}; exit $code'
        return ("unshare", "-rm", "sh", "-c", mount, "sh")

    return before


def test_a_download_that_does_not_fit_is_refused_before_it_starts(job, bucket, small_disk, tmp_path):
    boto3.client("s3").put_object(Bucket=bucket, Key="train.csv", Body=b"x" * 3_000_000)
    process = job("--data.train", f"s3://{bucket}/train.csv", before=small_disk("cache"))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert said == (
        f"error: the disk that holds {tmp_path}/cache/data is full; 3.0 MB are needed and 2.1 MB are free; "
        "make room there or choose another folder\n"
    )


def test_a_disk_that_fills_while_rows_are_written_is_one_sentence(job, write, small_disk):
    write("train.csv", b"text,label\n" + (b"word " * 1000 + b",good\n") * 1000)
    process = job("--data.train", "train.csv", before=small_disk("cache"))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device" in line


@pytest.mark.slow
def test_a_disk_that_fills_while_a_version_is_made_loses_nothing_that_was_learned(job, write, small_disk):
    write("train.csv", b"text,label\n" + ROWS.encode())
    words = ("--data.train", "train.csv", "--train.epochs", "1", "--run_id", "r1", "--output", "runs")
    roomier = 'find runs -name manifest.json; mount -o remount,size=64m none "$PWD/runs" && "$@"'
    disk = small_disk("runs", "850k", roomier)
    process = job(*words, before=disk, command="train")
    out, said = process.communicate(timeout=900)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert re.fullmatch(
        r"error: the disk that holds runs/r1/bundle is full; [0-9.]+ kB are needed and [0-9.]+ (kB|bytes) are free; "
        "make room there or choose another folder; nothing is lost: the same command goes on where this one ended",
        line,
    )
    first, again = out.split("runs/r1/checkpoints/train/000001/manifest.json\n")
    assert "epoch 1/1" in first
    # Where there is room the same command ends what was begun.
    assert "the run goes on from runs/r1/checkpoints/train/000001" in again
    assert "epoch 1/1" not in again
    assert "registered " in again


def anonymous(process):
    """Memory that is not backed by a file, in MB."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon")), 0)


def peak_memory(process):
    """The exit code, and the most memory it needed in MB."""
    peak = 0
    ended = threading.Event()
    threading.Thread(target=lambda: (process.communicate(), ended.set())).start()
    while not ended.wait(0.02):
        peak = max(peak, anonymous(process))
    return process.returncode, peak


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc to measure memory")  # noqa: PTH110
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_200_mb_of_data_need_no_more_memory_than_two(job, tmp_path, kind):
    row = {
        "csv": "row %d " + "word " * 80 + ",label %d\n",
        "jsonl": '{"text": "row %d ' + "word " * 80 + '", "label": "label %d"}\n',
        "json": ',{"text": "row %d ' + "word " * 80 + '", "label": "label %d"}',
    }[kind]
    peaks = []
    for rows in (4_800, 480_000):
        with (tmp_path / f"train.{kind}").open("w") as file:
            file.write({"csv": "text,label\n", "jsonl": "", "json": '[{"text": "first", "label": "label 0"}'}[kind])
            file.writelines(row % (number, number % 3) for number in range(rows))
            file.write("]" if kind == "json" else "")
        code, peak = peak_memory(job("--data.train", f"train.{kind}", "--data.limit", "4000"))
        assert code == 0
        peaks.append(peak)
    assert (tmp_path / f"train.{kind}").stat().st_size > 190_000_000
    assert peaks[1] - peaks[0] < 60, peaks
