"""Publish and pull beside `aws s3 cp --recursive` and boto3 alone: seconds, memory, and how many bytes are moved.

All against the same server, a Ceph gateway where TUNEWRIGHT_CEPH names a program that starts one and moto's else, in
turns that begin with another one each round. Each is a process of its own, the start of its program included; its
memory is the most that it had. boto3 and aws verify nothing of what they download.

`python tests/bench/bench_registry.py --megabytes 1000 --files 3 1000 --rounds 3`
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import boto3
from peers import environment, pins
from ports import free_port

from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.update import RECORD
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull

ROOT = Path(__file__).parents[2]
BUCKET = "bench"
NAMES = ("tunewright", "aws", "boto3")
TRANSFER = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import boto3
verb, folder, bucket, prefix = sys.argv[1:]
client, folder = boto3.client("s3"), Path(folder)
if verb == "up":
    jobs = [(path, prefix + str(path.relative_to(folder))) for path in folder.rglob("*") if path.is_file()]
    step = lambda job: client.upload_file(str(job[0]), bucket, job[1])
else:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    jobs = [one["Key"] for page in pages for one in page["Contents"]]
    def step(key):
        target = folder / key.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(target))
with ThreadPoolExecutor(10) as pool:
    list(pool.map(step, jobs))
"""


@dataclass(frozen=True)
class Took:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    megabytes: float  # the most memory it had


def took(command: Sequence[str | Path], environ: dict[str, str]) -> Took:
    """Run a program."""
    begun, most = time.monotonic(), 0
    process = subprocess.Popen([str(word) for word in command], env=environ, stdout=subprocess.DEVNULL)
    # The figure that wait4 gives begins with the memory of who started the process.
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            break
        with suppress(OSError):
            told = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, *(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM")), 0)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return Took(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, most / 1024)


@contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of its clients."""
    common = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    if program := os.environ.get("TUNEWRIGHT_CEPH"):
        ports = {"CEPH_S3_PORT": str(free_port()), "CEPH_S3_MON_PORT": str(free_port())}
        environ = os.environ | ports | {"CEPH_S3_DIR": str(folder / "ceph")}
        subprocess.run([program, "start"], env=environ, check=True, stdout=subprocess.DEVNULL)
        try:
            told = subprocess.run([program, "env"], env=environ, check=True, capture_output=True, text=True).stdout
            yield common | dict(line.removeprefix("export ").split("=", 1) for line in told.splitlines())
        finally:
            subprocess.run([program, "stop"], env=environ, check=True)
        return
    port = free_port()
    process = subprocess.Popen([sys.executable, ROOT / "tests/registry/stores/moto_server.py", str(port)], stderr=-3)
    try:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        time.sleep(5)
        yield common | keys | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
    finally:
        process.terminate()


def write_files(folder: Path, files: int, megabytes: int) -> None:
    """Random bytes, alike in size."""
    for number in range(files):
        path = folder / f"part-{number % 10}" / f"{number:05d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(megabytes * 1_000_000 // files))


def commands(name: str, source: Path, target: Path, place: str, aws: Path) -> tuple[list[str | Path], ...]:
    """How files go to the bucket, and how they come back."""
    prefix = f"{name}-{place}/"
    if name == "tunewright":
        tunewright = Path(sys.executable).with_name("tunewright")
        there = ["--registry", f"s3://{BUCKET}/{prefix}"]
        return [tunewright, "publish", source, "--name", "m", *there], [
            tunewright,
            "pull",
            "m:1",
            "--to",
            target,
            *there,
        ]
    if name == "aws":
        copy: list[str | Path] = [aws, "s3", "cp", "--recursive", "--only-show-errors"]
        return [*copy, source, f"s3://{BUCKET}/{prefix}"], [*copy, f"s3://{BUCKET}/{prefix}", target]
    alone: list[str | Path] = [sys.executable, "-c", TRANSFER]
    return [*alone, "up", source, BUCKET, prefix], [*alone, "down", target, BUCKET, prefix]


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, beside what a pull keeps of itself."""
    compared = ["diff", "-rq", "-x", RECORD, one, other]
    return subprocess.run(compared, stdout=subprocess.DEVNULL).returncode == 0


def compare(files: int, megabytes: int, rounds: int, environ: dict[str, str], aws: Path) -> None:
    """Print a line for each program."""
    results: dict[str, tuple[list[Took], list[Took]]] = {name: ([], []) for name in NAMES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder / "source", files, megabytes)
        for turn in range(rounds):
            for who in NAMES[turn % 3 :] + NAMES[: turn % 3]:
                up, down = commands(who, folder / "source", folder / "target", f"{files}-{turn}", aws)
                for made, command in zip(results[who], (up, down), strict=True):
                    made.append(took(command, environ))
                assert same(folder / "source", folder / "target"), who
                shutil.rmtree(folder / "target")
    print(f"\n{megabytes} MB in {files} files, medians of {rounds}")
    print(f"{'':12}{'publish s':>10}{'cpu s':>8}{'MB':>8}{'pull s':>10}{'cpu s':>8}{'MB':>8}")
    medians = {
        who: [[statistics.median(getattr(one, what) for one in side) for what in Took.__annotations__] for side in both]
        for who, both in results.items()
    }
    for who, ((up, up_cpu, up_mb), (down, down_cpu, down_mb)) in medians.items():
        print(f"{who:12}{up:10.2f}{up_cpu:8.2f}{up_mb:8.0f}{down:10.2f}{down_cpu:8.2f}{down_mb:8.0f}")
    for side, verb in enumerate(("publish", "pull")):
        fastest = min(medians[who][side][0] for who in NAMES[1:])
        print(f"{verb}: {medians['tunewright'][side][0] / fastest:.2f} of the faster of the two others")


def share(environ: dict[str, str]) -> None:
    """Print how much a second version moves that shares nine of ten files with the first."""
    os.environ.update(environ)
    store, moved = open_store(f"s3://{BUCKET}/shared"), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, 10, 10)
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*.bin")}

        def held() -> int:
            return sum(stat.size for stat in store.list("blobs/"))

        def count(size: int) -> None:
            nonlocal moved
            moved += size

        for run in ("first", "second"):
            before, moved = held(), 0
            version = publish(store, "m", files, run_id=run)
            pull(store, version, cache=folder / "cache", on_bytes=count)
            print(f"{run} version: {version.size:,} bytes, {held() - before:,} uploaded, {moved:,} downloaded")
            next(iter(files.values())).write_bytes(os.urandom(1_000_000))


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--files", type=int, nargs="+", default=[3, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    aws = environment("aws", ["awscli", *pins("boto3")]).with_name("aws")
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as client:
        environ = os.environ | client
        boto3.client("s3", endpoint_url=client["AWS_ENDPOINT_URL_S3"], aws_access_key_id=client["AWS_ACCESS_KEY_ID"],
                     aws_secret_access_key=client["AWS_SECRET_ACCESS_KEY"]).create_bucket(Bucket=BUCKET)  # fmt: skip
        for files in options.files:
            compare(files, options.megabytes, options.rounds, environ, aws)
        share(client)


if __name__ == "__main__":
    main()
