"""`make bench-tasks`: real data sets through the whole line, from a bucket to an answer over HTTP.

For each set: its files go into a bucket; the job reads its YAML from there, with endpoint, registry and run id from
the environment as a container gets them; it trains, exports, measures and registers into another bucket; the server
pulls that version and answers. Printed as one table, and written to var/bench/tasks.json, where the sets of earlier
runs stay. Where no pretrained model of the kind is at hand, the base has random weights (bases.py), and what has to be
beaten is a figure that needs no model (baselines.py).

Data: $TUNEWRIGHT_DATA. S3: the gateway that $TUNEWRIGHT_CEPH (a program with the verbs start, env, stop) starts;
without it, whatever AWS_ENDPOINT_URL_S3 names.
"""

import argparse
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from cases import CASES, Case

from tunewright.job.measure.metric import lower_is_better

OUT = Path("var/bench/tasks.json")
WORK = Path("var/bench/tasks")
DATA, REGISTRY = "data", "registry"
"""Buckets."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(CASES))
    parser.add_argument("--at-once", type=int, default=1, help="sets at a time; each gets its share of the processors")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-tasks needs the data sets: set TUNEWRIGHT_DATA to their folder")
    names = asked.names or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"no set is called {unknown[0]!r}; there are {', '.join(CASES)}")
    threads = str(max(1, (os.cpu_count() or 1) // asked.at_once))
    print(HEAD, flush=True)
    failed = []
    with gateway() as environment, ThreadPoolExecutor(asked.at_once) as pool:
        environment = {**environment, "OMP_NUM_THREADS": threads}
        runs = {name: pool.submit(run_case, name, CASES[name], Path(data), environment) for name in names}
        for name, run in runs.items():
            try:
                row = run.result()
            except CaseFailed as error:
                failed.append(f"{name}: {error}")
                print(failed[-1], flush=True)
                continue
            keep(row)
            print(line(row), flush=True)
            if not row["passed"]:
                failed.append(f"{name}: {row['metric']} {row['reached']:.4f} does not reach {row['wanted']:.4f}")
    sys.exit("\n".join(failed) or 0)


class CaseFailed(Exception):
    """A set whose job or server did not do its work."""


@contextlib.contextmanager
def gateway() -> Iterator[dict[str, str]]:
    """The environment of an S3 client."""
    program = os.environ.get("TUNEWRIGHT_CEPH")
    if not program:
        if not os.environ.get("AWS_ENDPOINT_URL_S3"):
            sys.exit("bench-tasks needs an S3 server: set TUNEWRIGHT_CEPH, or AWS_ENDPOINT_URL_S3 and credentials")
        yield dict(os.environ)
        return
    lines = subprocess.run([program, "start"], check=True, capture_output=True, text=True).stdout
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines.splitlines() if line.startswith("export "))
    try:
        yield {**os.environ, **{name: value.strip("'\"") for name, value in pairs}}
    finally:
        subprocess.run([program, "stop"], check=False, capture_output=True)


def run_case(name: str, case: Case, data: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Lay out, upload, train, serve, ask."""
    work = WORK / name
    shutil.rmtree(work, ignore_errors=True)
    laid_out = work / "data"
    laid_out.mkdir(parents=True)
    sides = case.source(data, laid_out)
    settings: dict[str, Any] = {"model_name": name.replace("_", "-"), "alias": "production", **case.settings}
    settings["data"] = {**settings["data"], **{side: f"s3://{DATA}/{name}/{file}" for side, file in sides.items()}}
    if case.base:
        (laid_out / "base").mkdir()
        case.base(laid_out, laid_out / "base")
        settings["base_model"] = f"s3://{DATA}/{name}/base"
    (laid_out / "job.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    upload(laid_out, name, environment)
    environment = {
        **environment,
        "REGISTRY_URI": f"s3://{REGISTRY}/models",
        "REGISTRY_CACHE": str(work / "cache"),
        "JOB_OUTPUT": str(work / "runs"),
        "JOB_KEEP_BUNDLE": "true",
        "JOB_RUN_ID": f"{name}-{int(time.time())}",
    }
    started = time.monotonic()
    bundle, warnings = train(name, environment, work / "log")
    metrics = json.loads((bundle / "report" / "metrics.json").read_text())
    history = json.loads((bundle / "lineage.json").read_text())["training"]["history"]
    reached = {variant: measured["metrics"] for variant, measured in metrics["test"].items()}
    baseline = case.baseline(laid_out) if case.baseline else None
    row = {
        "data": name,
        "metric": case.metric,
        "wanted": case.floor if baseline is None else baseline,
        "of": "floor" if baseline is None else "baseline",
        "reached": reached["fp32"][case.metric],
        "interval": metrics["test"]["fp32"]["intervals"].get(case.metric),
        "int8": reached.get("int8", {}).get(case.metric),
        "metrics": reached["fp32"],
        "losses": [round(epoch["loss"], 4) for epoch in history],
        "served": metrics["default_variant"],
        "rows": metrics["test"]["fp32"]["rows"],
        "seconds": round(time.monotonic() - started, 1),
        "random_base": case.base is not None,
        "warnings": warnings,
        "answer": beginning(ask(settings["model_name"], question(case, laid_out), environment)),
    }
    return {**row, "passed": passed(row)}


def passed(row: dict[str, Any]) -> bool:
    """Whether a floor is reached or a baseline beaten, and the losses have fallen."""
    reached, wanted = row["reached"], row["wanted"]
    if lower_is_better(row["metric"]):
        reached, wanted = -reached, -wanted
    fell = len(row["losses"]) < 2 or row["losses"][-1] < row["losses"][0]
    return fell and (reached > wanted if row["of"] == "baseline" else reached >= wanted)


def upload(folder: Path, name: str, environment: dict[str, str]) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment.get("AWS_DEFAULT_REGION", "us-east-1"),
        config=Config(request_checksum_calculation="when_required"),
    )
    for bucket in (DATA, REGISTRY):
        client.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), DATA, f"{name}/{path.relative_to(folder).as_posix()}")


def train(name: str, environment: dict[str, str], log: Path) -> tuple[Path, list[str]]:
    """The bundle of a finished job, and its warnings."""
    command = [sys.executable, "-m", "tunewright", "train", "--config", f"s3://{DATA}/{name}/job.yaml"]
    with log.open("w") as out:
        code = subprocess.run(command, env=environment, stdout=out, stderr=subprocess.STDOUT).returncode
    text = log.read_text()
    if code:
        raise CaseFailed(f"the job ended with {code}: {text[-500:]}")
    warnings = [json.loads(line)["message"] for line in text.splitlines() if '"level": "warning"' in line]
    return Path(environment["JOB_OUTPUT"]) / environment["JOB_RUN_ID"] / "bundle", warnings


def question(case: Case, laid_out: Path) -> Any:
    """What is asked, as JSON."""
    if not isinstance(case.question, Path):
        return case.question
    path = laid_out / case.question
    return base64.b64encode((min(path.iterdir()) if path.is_dir() else path).read_bytes()).decode()


def ask(model: str, inputs: Any, environment: dict[str, str]) -> Any:
    """Serve the version in production, ask it, and stop it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    more = {"SERVING_MODEL": f"{model}@production", "SERVING_HOST": "127.0.0.1", "SERVING_PORT": str(port)}
    more["SERVING_DRAIN_SECONDS"] = "0"
    server = subprocess.Popen(
        [sys.executable, "-m", "tunewright", "serve"], env={**environment, **more}, stderr=subprocess.DEVNULL
    )
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", json.dumps({"inputs": inputs}).encode())
        for _ in range(600):
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                if error.code == 503:  # it listens before it has a model
                    time.sleep(0.1)
                    continue
                raise CaseFailed(f"the server answered {error.code}: {error.read()[:300]!r}") from error
            except OSError:
                if server.poll() is not None:
                    raise CaseFailed("the server ended by itself") from None
                time.sleep(0.1)
        raise CaseFailed("the server did not answer within a minute")
    finally:
        server.terminate()
        server.wait(30)


def beginning(answer: Any) -> Any:
    """What is kept of a long list of labels, or of a vector."""
    return answer[:4] if isinstance(answer, list) else answer


def keep(row: dict[str, Any]) -> None:
    """Put a row into the file, in the place of an earlier one of the same set."""
    rows = {one["data"]: one for one in json.loads(OUT.read_text())} if OUT.exists() else {}
    rows[row["data"]] = row
    OUT.parent.mkdir(parents=True, exist_ok=True)
    ordered = [rows[name] for name in CASES if name in rows]
    OUT.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")


HEAD = "data             metric         fp32       95 % interval     int8          to reach   rows      s  served"


def line(row: dict[str, Any]) -> str:
    low, high = row["interval"] or (float("nan"), float("nan"))
    int8 = row["int8"] if row["int8"] is not None else float("nan")
    return (
        f"{row['data']:16} {row['metric']:10} {row['reached']:8.4f} {low:9.4f}-{high:9.4f} {int8:8.4f} "
        f"{row['of']:>8} {row['wanted']:8.4f} {row['rows']:6d} {row['seconds']:6.0f}  {row['served']}"
    )


if __name__ == "__main__":
    main()
