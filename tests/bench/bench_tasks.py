"""`make bench-tasks`: real data sets through the whole line, from a bucket to an answer over HTTP.

For each set: the files go into a bucket; the job reads its YAML from there, with endpoint, registry and run id from
the environment as a container gets them; it trains, exports, measures and registers into another bucket; the server
pulls that version and answers. Printed as one table, and written to var/bench/tasks.json.

Data: $TUNEWRIGHT_DATA. S3: the gateway that $TUNEWRIGHT_CEPH (a program with the verbs start, env, stop) starts;
without it, whatever AWS_ENDPOINT_URL_S3 names.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

OUT = Path("var/bench/tasks.json")


@dataclass(frozen=True)
class Case:
    """One data set, how to learn it, and the figure it must reach on its test rows."""

    files: dict[str, str]
    """Side to file below $TUNEWRIGHT_DATA."""
    metric: str
    floor: float
    question: Any
    """What the server is asked."""
    settings: dict[str, Any] = field(default_factory=dict)


CASES = {
    "sst2": Case(
        files={"train": "sst2/train.tsv", "test": "sst2/dev.tsv"},
        metric="accuracy",
        floor=0.87,
        question="a gorgeous , witty , seductive movie .",
        settings={
            "data": {
                "header": False,
                "columns": {"text": 0, "label": 1},
                "label_names": {"0": "negative", "1": "positive"},
            },
            "train": {"epochs": 4},
        },
    ),
    "goemotions": Case(
        files={"train": "goemotions/train.tsv", "validation": "goemotions/dev.tsv", "test": "goemotions/test.tsv"},
        metric="macro_f1",
        floor=0.30,
        question="Thanks so much, that was really kind of you!",
        settings={
            "data": {"header": False, "columns": {"text": 0, "labels": 1}, "limit": 8000},
            "train": {"epochs": 5, "class_weights": "balanced", "learning_rate": 2e-4},
        },
    ),
    "sick": Case(
        files={
            "train": "sick/SICK_train.txt",
            "validation": "sick/SICK_trial.txt",
            "test": "sick/SICK_test_annotated.txt",
        },
        metric="accuracy",
        floor=0.85,
        question={"text": "A man is playing a guitar", "text_pair": "Nobody is playing a guitar"},
        settings={
            "data": {
                "format": "tsv",
                "columns": {"text": "sentence_A", "text_pair": "sentence_B", "label": "entailment_judgment"},
            },
            "train": {"epochs": 6, "learning_rate": 2e-4},
        },
    ),
    "stsb": Case(
        files={
            "train": "stsb/stsb-en-train.csv",
            "validation": "stsb/stsb-en-dev.csv",
            "test": "stsb/stsb-en-test.csv",
        },
        metric="spearman",
        floor=0.83,
        question={"text": "A plane is taking off.", "text_pair": "An air plane is taking off."},
        settings={
            "task": "text-regression",
            "data": {"header": False, "columns": {"text": 0, "text_pair": 1, "score": 2}},
            "train": {"epochs": 4, "learning_rate": 1e-4},
        },
    ),
    "banking77": Case(
        files={"train": "banking77/train.csv", "test": "banking77/test.csv"},
        metric="accuracy",
        floor=0.92,
        question="My card still has not arrived, what should I do?",
        settings={
            "data": {"columns": {"text": "text", "label": "category"}},
            "train": {"epochs": 8, "learning_rate": 3e-4},
        },
    ),
    "waimai_10k": Case(
        files={"train": "waimai_10k/waimai_10k.csv"},
        metric="accuracy",
        floor=0.772,  # ten points above the majority class, 0.672
        question="很快，好吃，味道足，量大",
        settings={
            "data": {"columns": {"text": "review", "label": "label"}},
            # A weight between none and balanced (1.5), which costs accuracy.
            "train": {"epochs": 6, "learning_rate": 3e-4, "max_length": 64, "class_weights": {"1": 1.1}},
        },
    ),
    "wnut17": Case(
        files={
            "train": "wnut17/wnut17train.conll",
            "validation": "wnut17/emerging.dev.conll",
            "test": "wnut17/emerging.test.annotated",
        },
        metric="f1",
        floor=0.30,
        question="Empire State Building is in New York, says Ada Lovelace",
        settings={
            "task": "token-classification",
            "data": {"format": "conll", "columns": {"tokens": 0, "tags": 1}},
            "train": {"epochs": 4, "learning_rate": 3e-4, "batch_size": 16, "max_length": 128},
        },
    ),
    "ud_ewt": Case(
        files={
            "train": "ud_ewt/en_ewt-ud-train.conllu",
            "validation": "ud_ewt/en_ewt-ud-dev.conllu",
            "test": "ud_ewt/en_ewt-ud-test.conllu",
        },
        metric="accuracy",
        floor=0.93,
        question="She reads a book about old trains.",
        settings={
            "task": "token-classification",
            "options": {"scheme": "plain"},
            "data": {"columns": {"tokens": "form", "tags": "upos"}},
            "train": {"epochs": 2, "learning_rate": 3e-4, "max_length": 128},
        },
    ),
    "policyqa": Case(
        files={"train": "policyqa/test.json", "test": "policyqa/dev.json"},
        metric="f1",
        floor=0.0,
        question={"question": "Who may see my address?", "context": "We share your address with our partners only."},
        settings={
            "task": "question-answering",
            "data": {"format": "squad"},
            "train": {"epochs": 3, "learning_rate": 2e-4, "max_length": 256},
        },
    ),
    "cmrc2018": Case(
        files={"train": "cmrc2018/cmrc2018_dev.json", "test": "cmrc2018/cmrc2018_trial.json"},
        metric="f1",
        floor=0.0,
        question={"question": "她出生在哪里？", "context": "居里夫人出生在华沙。"},
        settings={
            "task": "question-answering",
            "options": {"drop_wrong": True},
            "data": {"format": "squad"},
            "train": {"epochs": 2, "learning_rate": 2e-4, "max_length": 256},
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(CASES))
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-tasks needs the data sets: set TUNEWRIGHT_DATA to their folder")
    work = Path("var/bench/tasks")
    shutil.rmtree(work, ignore_errors=True)
    rows = []
    with gateway() as environment:
        for name in asked.names or CASES:
            rows.append(run_case(name, CASES[name], Path(data), environment, work))
            show(rows[-1:], head=len(rows) == 1)
            OUT.parent.mkdir(parents=True, exist_ok=True)
            OUT.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    if any(row["reached"] < row["floor"] for row in rows):
        sys.exit("a figure is below its floor")


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


def run_case(name: str, case: Case, data: Path, environment: dict[str, str], work: Path) -> dict[str, Any]:
    """Upload, train, serve, ask."""
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment.get("AWS_DEFAULT_REGION", "us-east-1"),
        config=Config(request_checksum_calculation="when_required"),
    )
    for bucket in ("data", "registry"):
        client.create_bucket(Bucket=bucket)
    settings = {"model_name": name.replace("_", "-"), "alias": "production", **case.settings}
    settings["data"] = {**settings["data"], **{side: f"s3://data/{file}" for side, file in case.files.items()}}
    for file in case.files.values():
        client.upload_file(str(data / file), "data", file)
    client.put_object(Bucket="data", Key=f"{name}/job.yaml", Body=yaml.safe_dump(settings, allow_unicode=True).encode())
    environment = {
        **environment,
        "REGISTRY_URI": "s3://registry/models",
        "REGISTRY_CACHE": str(work / "cache"),
        "JOB_OUTPUT": str(work / "runs"),
        "JOB_RUN_ID": name,
    }
    started = time.monotonic()
    command = [sys.executable, "-m", "job", "train", "--config", f"s3://data/{name}/job.yaml"]
    log = work / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        code = subprocess.run(command, env=environment, stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"{name}: the job ended with {code}: {log.read_text()[-500:]}")
    warnings = [json.loads(line)["message"] for line in log.read_text().splitlines() if '"level": "warning"' in line]
    metrics = json.loads((work / "runs" / name / "bundle" / "report" / "metrics.json").read_text())
    reached = {variant: measured["metrics"][case.metric] for variant, measured in metrics["test"].items()}
    return {
        "data": name,
        "metric": case.metric,
        "floor": case.floor,
        "reached": reached["fp32"],
        "interval": metrics["test"]["fp32"]["intervals"].get(case.metric),
        "int8": reached.get("int8"),
        "served": metrics["default_variant"],
        "rows": metrics["test"]["fp32"]["rows"],
        "seconds": round(time.monotonic() - started, 1),
        "warnings": warnings,
        "answer": ask(settings["model_name"], case.question, environment),
    }


def ask(model: str, question: Any, environment: dict[str, str]) -> Any:
    """Serve the version in production, ask it, and stop it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    more = {"SERVING_MODEL": f"{model}@production", "SERVING_HOST": "127.0.0.1", "SERVING_PORT": str(port)}
    more["SERVING_DRAIN_SECONDS"] = "0"
    server = subprocess.Popen([sys.executable, "-m", "serving"], env={**environment, **more}, stderr=subprocess.DEVNULL)
    try:
        body = json.dumps(
            {"inputs": question, "parameters": {"top_k": 3} if isinstance(question, str) else {}}
        ).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"content-type": "application/json"})
        for _ in range(300):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return json.load(response)
            except OSError:
                if server.poll() is not None:
                    raise
                time.sleep(0.1)
        sys.exit(f"{model}: the server did not answer within 30 s")
    finally:
        server.terminate()
        server.wait(30)


def show(rows: list[dict[str, Any]], *, head: bool) -> None:
    if head:
        names = f"{'data':12} {'metric':9} {'fp32':>7} {'95 % interval':>17} {'int8':>7} {'floor':>6} {'rows':>6}"
        print(f"{names} {'s':>6}  served")
    for row in rows:
        low, high = row["interval"] or (float("nan"), float("nan"))
        int8 = row["int8"] if row["int8"] is not None else float("nan")
        print(
            f"{row['data']:12} {row['metric']:9} {row['reached']:7.4f} {low:8.4f}-{high:8.4f} {int8:7.4f} "
            f"{row['floor']:6.3f} {row['rows']:6d} {row['seconds']:6.0f}  {row['served']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
