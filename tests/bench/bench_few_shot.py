"""`python tests/bench/bench_few_shot.py`: eight rows a label of banking77, five draws, learned in several ways.

Every draw takes the same number of rows of each of the 77 labels from the training file. Each method learns from the
same draw, all rows of it, through the whole job (read, train, export, register); the exported fp32 file is measured on
all 3,080 test rows. Printed as a table, and written to var/bench/few_shot.json.

frozen    the encoder as it comes, logistic regression on its vectors (train.few_shot with train.layers: head)
plain     plain fine-tuning of all weights
few-shot  pairs of texts teach the encoder, then logistic regression (train.few_shot)
cosine    the same with SetFit's own loss: as many pairs of two labels, squared error of the cosine to 1 or 0

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import contextlib
import csv
import json
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from tunewright.job.recipe import run
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps import few_shot
from tunewright.registry.settings import RegistrySettings

OUT = Path("var/bench/few_shot.json")
FLOOR = 0.78
"""What few-shot learning must reach with eight rows a label, on the average of five draws."""
METHODS: dict[str, dict[str, Any]] = {
    "frozen": {"few_shot": {}, "layers": "head"},
    "plain": {"epochs": 15, "learning_rate": 3e-4},
    "few-shot": {"few_shot": {}},
    "cosine": {"few_shot": {}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["frozen", "plain", "few-shot"], choices=METHODS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--shots", type=int, default=8, help="rows of each label")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-few-shot needs the data sets: set TUNEWRIGHT_DATA to their folder")
    work = Path("var/bench/few_shot")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rows = []
    for draw in range(asked.draws):
        write_draw(Path(data) / "banking77/train.csv", work / "train.csv", asked.shots, draw)
        for method in asked.methods:
            rows.append({"draw": draw, "shots": asked.shots, "method": method, **measured(method, Path(data), work)})
            OUT.write_text(json.dumps(rows, indent=2))
            print("{draw}  {method:9} {accuracy:.4f}  {seconds:5.0f} s".format(**rows[-1]), flush=True)
    check(show(rows, asked.methods), asked.shots)


def write_draw(source: Path, target: Path, shots: int, seed: int) -> None:
    """So many rows of each label; all of a label that has fewer."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["category"]].append(row)
    random = np.random.default_rng(seed)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "category"])
        writer.writeheader()
        for label in sorted(by_label):
            order = random.permutation(len(by_label[label]))[:shots]
            writer.writerows(by_label[label][number] for number in order)


def measured(method: str, data: Path, work: Path) -> dict[str, Any]:
    """One job; what its fp32 file reaches on the test rows."""
    settings = JobSettings(
        model_name=f"banking77-{method}",
        data={
            "train": str(work / "train.csv"),
            "test": str(data / "banking77/test.csv"),
            "columns": {"text": "text", "label": "category"},
            # Every method learns from every row of the draw.
            "validation_fraction": 0,
        },
        train=METHODS[method],
        export={"variants": ["fp32"]},
        output=work / "runs",
    )
    registry = RegistrySettings(uri=str(work / "registry"), cache=Path("var/cache"))
    started = time.perf_counter()
    with (work / "log").open("a") as log, contextlib.redirect_stdout(log), losses(method):
        released = run(settings, registry).release
    assert released is not None
    accuracy = released.evaluations["fp32"].metrics["accuracy"]
    return {"accuracy": accuracy, "seconds": round(time.perf_counter() - started, 1), "train": METHODS[method]}


@contextlib.contextmanager
def losses(method: str) -> Iterator[None]:
    """For `cosine` SetFit's pairs and loss in place of ours."""
    ours = few_shot.draw_pairs, few_shot.contrastive_loss
    if method == "cosine":
        few_shot.draw_pairs = with_negatives
        few_shot.contrastive_loss = lambda temperature: cosine_loss
    try:
        yield
    finally:
        few_shot.draw_pairs, few_shot.contrastive_loss = ours


def with_negatives(targets: Any, per_row: int, seed: int) -> Any:
    """The pairs of one label, and as many of two."""
    alike = _draw_alike(targets, per_row, seed)
    random = np.random.default_rng([seed, 1])
    other = np.array([random.choice(np.flatnonzero(targets != targets[row])) for row in alike[:, 0]])
    return np.concatenate([alike, np.stack([alike[:, 0], other], axis=1)])


_draw_alike = few_shot.draw_pairs


def cosine_loss(embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared error of the cosine of each pair, whose texts follow one another, to 1 or 0."""
    cosine = functional.cosine_similarity(embeddings[0::2], embeddings[1::2])
    return functional.mse_loss(cosine, (targets[0::2] == targets[1::2]).float())


def show(rows: list[dict[str, Any]], methods: list[str]) -> dict[str, float]:
    """The table; the mean of each method."""
    print(f"\n{'method':9} {'mean':>7} {'stdev':>7}  draws")
    means = {}
    for method in methods:
        reached = [row["accuracy"] for row in rows if row["method"] == method]
        means[method] = statistics.mean(reached)
        spread = statistics.stdev(reached) if len(reached) > 1 else 0.0
        print(f"{method:9} {means[method]:7.4f} {spread:7.4f}  {' '.join(f'{one:.4f}' for one in reached)}")
    return means


def check(means: dict[str, float], shots: int) -> None:
    if shots == 8 and means.get("few-shot", 1.0) < FLOOR:
        sys.exit(f"few-shot learning is below {FLOOR}")
    if shots == 8 and means.get("few-shot", 1.0) <= means.get("plain", 0.0):
        sys.exit("few-shot learning is no better than plain fine-tuning")


if __name__ == "__main__":
    main()
